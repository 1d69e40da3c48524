import time
from studio_pages import small
def test_debug(comer):
    p=comer.page
    p.on('console', lambda m: print('CONSOLE',m.type,m.text[:600]))
    comer.open_with(small(tempo=140.0))
    comer.unfold('shape'); time.sleep(1)
    print(p.inner_text('#faders')[:200])
    comer.unfold('reading'); time.sleep(1)
    print(p.locator('#sheet svg').count(), p.inner_html('#sheet')[:300])
    print(p.evaluate("document.querySelector('#length input').value"),p.evaluate("document.querySelector('#faders').outerHTML.slice(0,1500)"))
