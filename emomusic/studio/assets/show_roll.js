() => {
  if (window.innerWidth < 700) document.getElementById('hearing').scrollIntoView();
}
