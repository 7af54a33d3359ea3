// The one session of this page: who is signed in, the store, the stream.

import { computed, reactive, ref, watch } from 'vue'
import { ApiError, api } from './api/client'
import type { Me } from './api/types'
import { canSound, siren } from './live/sound'
import { Stream } from './live/sse'
import { createStore } from './live/store'
import { i18n } from './i18n'
import { prefs } from './prefs'

export const store = createStore(api)

export const session = reactive<{ me: Me | undefined; ended: boolean }>({ me: undefined, ended: false })

/** Who is told of alarms is for administrators to see and to try. */
export const mayNotify = computed(() => session.me?.role === 'admin')

/** A sound is due but the browser does not allow it yet. */
export const soundBlocked = ref(false)

let stream: Stream | undefined

// Whether this browser has signed in before. The session itself is a cookie that scripts cannot
// see; without this note every first visit would ask for it and log a refusal on the console.
const noteKey = 'shedguard.signed-in'
const note = {
  read(): boolean {
    try {
      return localStorage.getItem(noteKey) === '1'
    } catch {
      return true // storage is forbidden: ask the server
    }
  },
  write(signedIn: boolean): void {
    try {
      if (signedIn) localStorage.setItem(noteKey, '1')
      else localStorage.removeItem(noteKey)
    } catch {
      // Storage is forbidden: the server is asked each time.
    }
  },
}

function begin(me: Me): void {
  session.me = me
  session.ended = false
  note.write(true)
  stream?.close()
  stream = new Stream('/api/v1/stream', { ...store.handlers, unauthorized: end })
  stream.start()
  void store.load().catch(() => {}) // the error is in the store, the views show it
}

/** The session is over: by the person, or because the server no longer knows it. */
export function end(): void {
  if (session.me) session.ended = true
  session.me = undefined
  note.write(false)
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
  if (!note.read()) return false
  try {
    begin(await api.me())
    return true
  } catch (err) {
    if (err instanceof ApiError && err.status === 401) {
      note.write(false)
      return false
    }
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
  // A page that the browser keeps for the back button must not hold a connection; there are only six.
  window.addEventListener('pagehide', () => stream?.close())
  window.addEventListener('pageshow', (e) => {
    if (e.persisted) stream?.start()
  })

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
