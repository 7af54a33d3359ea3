import { reactive, watch } from 'vue'

export type Locale = 'zh-CN' | 'en'
export type Theme = 'auto' | 'light' | 'dark'

const key = 'shedguard.prefs'

interface Prefs {
  locale: Locale
  theme: Theme
  sound: boolean
  outletsAs: 'cards' | 'table'
}

/** What a browser that was never asked gets: its own language. */
export function browserLocale(languages: readonly string[]): Locale {
  return /^zh\b/i.test(languages[0] ?? '') ? 'zh-CN' : 'en'
}

export function readPrefs(stored: string | null, languages: readonly string[]): Prefs {
  const prefs: Prefs = { locale: browserLocale(languages), theme: 'auto', sound: true, outletsAs: 'cards' }
  let got: Partial<Record<keyof Prefs, unknown>>
  try {
    got = JSON.parse(stored ?? '{}') ?? {}
  } catch {
    return prefs
  }
  if (got.locale === 'zh-CN' || got.locale === 'en') prefs.locale = got.locale
  if (got.theme === 'light' || got.theme === 'dark') prefs.theme = got.theme
  if (typeof got.sound === 'boolean') prefs.sound = got.sound
  if (got.outletsAs === 'table') prefs.outletsAs = 'table'
  return prefs
}

function load(): Prefs {
  const languages = globalThis.navigator?.languages ?? [] // there is none where the unit tests run
  try {
    return readPrefs(localStorage.getItem(key), languages)
  } catch {
    return readPrefs(null, languages) // storage is forbidden: nothing is remembered
  }
}

export const prefs = reactive<Prefs>(load())

export function applyPrefs(): void {
  watch(
    prefs,
    () => {
      const root = document.documentElement
      root.lang = prefs.locale
      if (prefs.theme === 'auto') delete root.dataset.theme
      else root.dataset.theme = prefs.theme
      try {
        localStorage.setItem(key, JSON.stringify(prefs))
      } catch {
        // Storage is forbidden: the choice holds until the page is closed.
      }
    },
    { immediate: true },
  )
}
