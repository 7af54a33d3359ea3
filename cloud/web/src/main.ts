import { createApp, watch } from 'vue'
import App from './App.vue'
import { session, startAround } from './app'
import { followLocale, i18n } from './i18n'
import { unlockOnGesture } from './live/sound'
import { applyPrefs } from './prefs'
import { router } from './router'
import './style.css'

applyPrefs()
followLocale()
unlockOnGesture()
startAround()

watch(
  () => session.me,
  (me) => {
    const here = router.currentRoute.value
    if (!me && here.name !== 'login') void router.push({ name: 'login', query: session.ended ? { next: here.fullPath } : {} })
  },
)

createApp(App).use(i18n).use(router).mount('#app')
