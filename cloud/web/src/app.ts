// The one session of this page: who is signed in, the store, the stream.

import { reactive, ref, watch } from 'vue'
import { ApiError, api } from './api/client'
import type { Me } from './api/types'
import { canSound, siren } from './live/sound'
import { Stream } from './live/sse'
import { createStore } from './live/store'
import { i18n } from './i18n'
import { prefs } from './prefs'

export const store = createStore(api)

export const session = reactive<{ me: Me | undefined; ended: boolean }>({ me: undefined, ended: false })

/** A sound is due but the browser does not allow it yet. */
export const soundBlocked = ref(false)

let stream: Stream | undefined

function begin(me: Me): void {
  session.me = me
  session.ended = false
  stream?.close()
  stream = new Stream('/api/v1/stream', { ...store.handlers, unauthorized: end })
  stream.start()
  void store.load().catch(() => {}) // the error is in the store, the views show it
}

/** The session is over: by the person, or because the server no longer knows it. */
export function end(): void {
  if (session.me) session.ended = true
  session.me = undefined
  stream?.close()
  stream = undefined
  store.clear()
}

api.onUnauthorized = end

export async function signIn(user: string, password: string): Promise<void> {
  await api.login(user, password)
  begin(await api.me())
}

export async function signOut(): Promise<void> {
  await api.logout()
  end()
  session.ended = false
}

/** Whether a session from before still holds. Throws when the server cannot be asked. */
export async function resume(): Promise<boolean> {
  if (session.me) return true
  try {
    begin(await api.me())
    return true
  } catch (err) {
    if (err instanceof ApiError && err.status === 401) return false
    throw err
  }
}

/** What runs beside the views as long as the page is open. */
export function startAround(): void {
  setInterval(() => (store.state.now = api.now()), 1_000)
  const nudge = () => {
    store.state.now = api.now()
    if (document.visibilityState === 'visible') stream?.nudge()
  }
  window.addEventListener('online', nudge)
  document.addEventListener('visibilitychange', nudge)

  watch(
    [() => store.state.announced.length, () => prefs.sound],
    ([n, sound]) => {
      if (n > 0 && sound) {
        soundBlocked.value = !canSound()
        siren.start()
      } else {
        siren.stop()
      }
    },
    { flush: 'sync' },
  )

  watch(
    [store.openCount, i18n.global.locale],
    ([n]) => {
      document.title = n > 0 ? `(${n}) shedguard` : 'shedguard'
      const badge = navigator as Navigator & { setAppBadge?: (n: number) => Promise<void> }
      void badge.setAppBadge?.(n).catch(() => {}) // only an installed page may have a badge
    },
    { immediate: true },
  )
}
