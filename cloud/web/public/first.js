// Sets theme and language before the first paint, so that nothing flashes.
;(function () {
  var prefs = {}
  try {
    prefs = JSON.parse(localStorage.getItem('shedguard.prefs') || '{}')
  } catch (e) {
    prefs = {}
  }
  var root = document.documentElement
  if (prefs.theme === 'dark' || prefs.theme === 'light') root.dataset.theme = prefs.theme
  if (prefs.locale === 'en' || prefs.locale === 'zh-CN') root.lang = prefs.locale
  else root.lang = /^zh/i.test(navigator.language || '') ? 'zh-CN' : 'en'
})()
