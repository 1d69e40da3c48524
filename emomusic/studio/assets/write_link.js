(settings) => {
  if (!settings) return '';
  const bytes = new TextEncoder().encode(JSON.stringify(JSON.parse(settings)));
  const packed = btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(''));
  const plain = packed.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  return location.href.split('#')[0] + '#settings=' + plain;
}
