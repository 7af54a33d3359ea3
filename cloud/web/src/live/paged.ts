// A log that is read by page, newest first, and grows at its top while one looks at it.

import { onMounted, onUnmounted, ref, shallowRef } from 'vue'
import { store } from '../app'

export interface Page<T> {
  items: T[]
  /** The cursor of the next page; empty on the last. */
  next: string
}

/**
 * Puts the newest page over what is shown: entries that changed are replaced and new ones
 * come on top. When nothing of it is known yet, entries may lie between: the page then stands alone.
 */
export function mergeNewest<T>(have: Page<T>, newest: Page<T>, key: (item: T) => unknown): Page<T> {
  const fresh = new Set(newest.items.map(key))
  const overlaps = have.items.some((item) => fresh.has(key(item)))
  if (!overlaps) return newest
  return { items: [...newest.items, ...have.items.filter((item) => !fresh.has(key(item)))], next: have.next }
}

/** How often the newest page is read again while somebody looks, in ms. */
const followEvery = 10_000

export function usePaged<T>(read: (cursor: string, signal: AbortSignal) => Promise<Page<T>>, key: (item: T) => unknown) {
  const page = shallowRef<Page<T>>({ items: [], next: '' })
  const loaded = ref(false)
  const busy = ref(false)
  const error = ref<unknown>()
  let reading: AbortController | undefined
  let reachingBack = false

  async function ask(cursor: string, put: (got: Page<T>) => Page<T>) {
    reading?.abort()
    const mine = (reading = new AbortController())
    busy.value = true
    try {
      const got = await read(cursor, mine.signal)
      if (reading !== mine) return
      page.value = put(got)
      loaded.value = true
      error.value = undefined
    } catch (err) {
      if (reading === mine && !mine.signal.aborted) error.value = err
    } finally {
      if (reading === mine) busy.value = false
    }
  }

  /** Reads the newest page; never in the way of a person who asked for older entries. */
  async function refresh() {
    if (reachingBack) return
    await ask('', (got) => (loaded.value ? mergeNewest(page.value, got, key) : got))
  }

  async function older() {
    if (!page.value.next) return
    reachingBack = true
    const { next } = page.value
    await ask(next, (got) => {
      const known = new Set(page.value.items.map(key))
      return { items: [...page.value.items, ...got.items.filter((item) => !known.has(key(item)))], next: got.next }
    })
    reachingBack = false
  }

  async function restart() {
    page.value = { items: [], next: '' }
    loaded.value = false
    await ask('', (got) => got)
  }

  let timer: ReturnType<typeof setInterval> | undefined
  let offReset: (() => void) | undefined
  onMounted(() => {
    void restart()
    timer = setInterval(() => {
      if (document.visibilityState === 'visible' && store.state.link !== 'lost') void refresh()
    }, followEvery)
    offReset = store.onReset(() => void refresh())
  })
  onUnmounted(() => {
    clearInterval(timer)
    offReset?.()
    reading?.abort()
    reading = undefined
  })

  return { page, loaded, busy, error, refresh, older, restart }
}
