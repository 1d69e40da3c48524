// ---- sound: the grand as emomusic/music/grand.py plays it, of the same recordings ---------------
// `audio` is used as an <audio> element is: currentTime, duration, paused, loop, volume, play, pause.

const AHEAD_S = 1.2, LOUD = 0.13, TAIL_S = 2, SILENT = 7;
const MAX_TAKES = 90; // two megabytes each, decoded
const piano = window.emoPiano ??= {takes: new Map(), decoder: new OfflineAudioContext(2, 1, 44100)};
piano.table ??= fetch(`${PIANO}piano.json`).then((answer) => answer.json());
let table = null, stage = null; // what plays: made when a person first wants to hear
let from = 0, since = 0, next = 0, playing = false, wantsTimer = 0, level = 0.3, voices = new Set();
let ordered = []; // notes by onset, with how long they sound

function take(name) { // a recording, fetched and decoded once for the whole page
  if (!piano.takes.has(name)) {
    const ready = fetch(`${PIANO}${name}.ogg`).then((answer) => answer.arrayBuffer());
    piano.takes.set(name, ready.then((data) => piano.decoder.decodeAudioData(data)));
    piano.takes.get(name).catch(() => piano.takes.delete(name));
    if (piano.takes.size > MAX_TAKES) piano.takes.delete(piano.takes.keys().next().value);
  }
  return piano.takes.get(name);
}

const interpolate = (x, xs, ys) => {
  let i = 1;
  while (i < xs.length - 1 && x > xs[i]) i += 1;
  const share = Math.min(Math.max((x - xs[i - 1]) / (xs[i] - xs[i - 1]), 0), 1);
  return ys[i - 1] + share * (ys[i] - ys[i - 1]);
};

function strike(note) { // two layers, and the amplitude of each
  const root = Math.min(Math.max(21 + 3 * Math.round((note.pitch - 21) / 3), 21), 108);
  const key = table.keys[root], place = interpolate(note.velocity, table.velocities, [0, 1, 2, 3]);
  const low = Math.min(Math.floor(place), 2), high = place - low;
  const power = (1 - high) ** 2 + high ** 2 + 2 * high * (1 - high) * key.likeness[low];
  const loud = (note.velocity / 127) ** table.power / Math.sqrt(power);
  const parts = [[low, (1 - high) * loud * key.gain[low]], [low + 1, high * loud * key.gain[low + 1]]];
  const takes = parts.filter(([, gain]) => gain > 0.002).map(([at, gain]) => [`${root}-${at}`, gain]);
  return {takes, rate: 2 ** ((note.pitch - root) / 12)};
}

function fetchAhead(fresh) { // while more is composed
  if (table) for (const note of fresh) for (const [name] of strike(note).takes) take(name).catch(() => {});
}

function prepare() { // the first recordings first; what is there can be heard
  let power = 0;
  for (const note of notes) power += (note.velocity / 127) ** (2 * table.power) * Math.min(note.end - note.onset + 0.3, 1);
  level = LOUD / Math.sqrt(power / Math.max(audio.duration, 1) + 1e-6);
  ordered = notes.map((note, i) => ({...note, until: untils[i]})).sort((a, b) => a.onset - b.onset);
  const asked = shown.url, soon = [take("room")];
  for (const note of ordered) {
    for (const [name] of strike(note).takes) {
      const ready = take(name);
      if (note.onset < (ordered[0]?.onset || 0) + 2) soon.push(ready);
    }
  }
  return Promise.all(soon).then(() => {
    if (asked === shown.url) audio.dispatchEvent(new Event("canplay"));
  }).catch(() => audio.dispatchEvent(new Event("error")));
}

function build() {
  const context = new AudioContext(), [dry, wet, limiter, volume] = [
    context.createGain(), context.createConvolver(), context.createDynamicsCompressor(), context.createGain(),
  ];
  for (const [name, value] of Object.entries({threshold: -8, knee: 6, ratio: 12, attack: 0.002, release: 0.15})) {
    limiter[name].value = value;
  }
  const answer = context.createGain();
  answer.gain.value = table.room;
  wet.normalize = false;
  take("room").then((room) => { wet.buffer = room; });
  dry.connect(limiter);
  dry.connect(wet).connect(answer).connect(limiter);
  limiter.connect(volume).connect(context.destination);
  return {context, dry, volume};
}

async function sing(note) {
  const {takes, rate} = strike(note), began = since, {context} = stage;
  const sounds = await Promise.all(takes.map(async ([name, gain]) => [await take(name), gain]));
  const at = began + note.onset - from, start = Math.max(at, context.currentTime);
  if (!playing || began !== since || start >= began + note.until - from) return;
  const voice = context.createGain(), {pitches, falls} = table;
  voice.connect(stage.dry);
  const fall = interpolate(note.pitch, pitches, falls), end = began + note.until - from;
  if (note.pitch < table.undamped && Number.isFinite(end)) voice.gain.setTargetAtTime(0, end, fall);
  for (const [buffer, gain] of sounds) {
    const source = context.createBufferSource(), loud = context.createGain();
    loud.gain.value = gain * level;
    Object.assign(source, {buffer}).playbackRate.value = rate;
    source.connect(loud).connect(voice);
    source.start(start, (start - at) * rate);
    if (note.pitch < table.undamped && Number.isFinite(end)) source.stop(end + SILENT * fall);
    source.onended = () => { voices.delete(voice); voice.disconnect(); };
  }
  voices.add(voice);
}

function schedule() {
  if (!element.isConnected) return audio.pause();
  const now = audio.currentTime;
  while (next < ordered.length && ordered[next].onset < now + AHEAD_S) sing(ordered[next++]);
  if (now < audio.duration) return undefined;
  if (audio.loop) return (audio.currentTime = 0);
  return finish("ended");
}

function hush() { // what sounds ends at once, without a click
  for (const voice of voices) {
    const {gain} = voice, now = stage.context.currentTime;
    gain.cancelScheduledValues(now);
    gain.setTargetAtTime(0, now, 0.015);
    setTimeout(() => voice.disconnect(), 150);
  }
  voices = new Set();
}

function begin(time) {
  hush();
  from = time;
  since = stage.context.currentTime + 0.03;
  next = ordered.findIndex((note) => note.onset >= time);
  if (next < 0) next = ordered.length;
  for (const note of ordered.slice(0, next)) if (note.until > time) sing(note);
  schedule();
}

function finish(how) {
  from = how === "ended" ? audio.duration : audio.currentTime;
  playing = false;
  clearInterval(wantsTimer);
  hush();
  audio.dispatchEvent(new Event(how));
}

Object.defineProperties(audio, {
  duration: {get: () => (shown.url ? notes.reduce((last, note) => Math.max(last, note.end), 0) + TAIL_S : NaN)},
  paused: {get: () => !playing},
  loop: {value: false, writable: true},
  currentTime: {
    get: () => (playing ? Math.min(Math.max(from + stage.context.currentTime - since, from), audio.duration) : from),
    set: (time) => {
      if (playing) begin(time);
      else from = time;
      audio.dispatchEvent(new Event("seeked"));
    },
  },
  volume: {
    get: () => Number(volume.value),
    set: (loud) => { if (stage) stage.volume.gain.value = loud; },
  },
  pause: {value: () => { if (playing) finish("pause"); }},
  play: {value: async () => {
    if (playing) return;
    stage ??= build();
    stage.volume.gain.value = Number(volume.value);
    const {url} = shown;
    await Promise.all([stage.context.resume(), prepare()]);
    if (playing || url !== shown.url) return;
    playing = true;
    begin(from >= audio.duration - 0.02 ? 0 : from);
    wantsTimer = setInterval(schedule, 200);
    audio.dispatchEvent(new Event("play"));
  }},
  load: {value: async () => {
    from = 0;
    table = await piano.table;
    table.pitches ??= table.damping.map(([pitch]) => pitch);
    table.falls ??= table.damping.map(([, seconds]) => seconds);
    if (shown.url) await prepare();
    audio.dispatchEvent(new Event("durationchange"));
  }},
});
