import sys,json
from pathlib import Path
from emomusic.training.train import train; from emomusic.training.config import TrainConfig
W={'openscore_lieder':.15,'asap':.5,'pianocore':.4,'piano_midi_de':.7,'musetrainer':1,'game_piano':1,'vgmidi_unlabelled':1,'pop909':0.6,'pop1k7':1}
kw=json.loads(sys.argv[2])
print(train(Path('datasets/packed/rows.npz'),Path(sys.argv[1]),TrainConfig(source_weights=W,**kw),report=lambda r:print(json.dumps(r),flush=True)))
