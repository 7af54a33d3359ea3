// What the page knows at this moment: the sheds, the open alarms, and how
// fresh that knowledge is. It is filled by requests and kept up by the stream.

import { computed, reactive } from 'vue'
import type { Client } from '../api/client'
import { type Alarm, type AlarmPicture, type Feeder, type Live, type Shed, type Snapshot, severities } from '../api/types'
import { zoneFire } from '../fold'
import { instant } from '../format'
import type { Message } from './sse'

/** How old a live value may be before it is called stale, in ms: three telemetry windows. */
export const staleAfter = 30_000
/** How many open alarms are kept for the overview; the alarm list pages through all of them. */
export const openKept = 200
/** An alarm older than this when it is first seen is not announced: it is news from the past. */
export const announceWithin = 120_000

export type Link = 'connecting' | 'live' | 'lost'

export interface State {
  loaded: boolean
  error: unknown
  sheds: Map<string, Shed>
  live: Map<string, Map<number, Live>>
  /** The newest that was heard of each shed's feeder. */
  feeders: Map<string, Feeder>
  open: Map<string, Alarm>
  /** More alarms are open than are kept here. */
  openTruncated: boolean
  link: Link
  /** When the server was last heard, in ms. */
  heardAt: number
  /** Since when the stream is away, in ms; the values on the page are from then. */
  lostAt: number
  /** Alarms to be announced by sound and notice, most urgent first. */
  announced: Alarm[]
  now: number
}

const rank = new Map<string, number>(severities.map((s, i) => [s, i]))

/** Most urgent first, a fire before what else is as urgent, then newest first. */
export function byUrgency(a: Alarm, b: Alarm): number {
  const s = (rank.get(a.severity) ?? 9) - (rank.get(b.severity) ?? 9)
  if (s !== 0) return s
  const acknowledged = Number(!!a.acknowledged) - Number(!!b.acknowledged)
  return acknowledged || Number(zoneFire(b)) - Number(zoneFire(a)) || (instant(b.raised_at) ?? 0) - (instant(a.raised_at) ?? 0)
}

export type AlarmListener = (a: Alarm) => void
export type PictureListener = (p: AlarmPicture) => void
export type SnapshotListener = (s: Snapshot & { shed: string }) => void

export function createStore(api: Pick<Client, 'sheds' | 'alarms' | 'now'>) {
  const state = reactive<State>({
    loaded: false,
    error: undefined,
    sheds: new Map(),
    live: new Map(),
    feeders: new Map(),
    open: new Map(),
    openTruncated: false,
    link: 'connecting',
    heardAt: 0,
    lostAt: 0,
    announced: [],
    now: api.now(),
  })
  const alarmListeners = new Set<AlarmListener>()
  const pictureListeners = new Set<PictureListener>()
  const snapshotListeners = new Set<SnapshotListener>()
  const resetListeners = new Set<() => void>()
  let recount: ReturnType<typeof setTimeout> | undefined
  let asked = 0
  let applied = 0

  const openAlarms = computed(() => [...state.open.values()].sort(byUrgency))
  const openCount = computed(() => {
    let n = 0
    for (const s of state.sheds.values()) n += s.open_alarms
    return Math.max(n, state.open.size)
  })
  const sheds = computed(() => [...state.sheds.values()].sort((a, b) => a.name.localeCompare(b.name, 'zh-CN')))

  /** Reads everything afresh. Changes that arrive meanwhile are newer and win. */
  async function load(): Promise<void> {
    const mine = ++asked
    const asOf = told
    const touched = new Set<string>()
    const watch = (a: Alarm) => void touched.add(a.alarm_id)
    alarmListeners.add(watch)
    try {
      const [list, page] = await Promise.all([api.sheds(), api.alarms({ state: 'open' }, '', openKept)])
      if (mine < applied) return // a later question was answered first
      applied = mine
      for (const id of [...state.sheds.keys()]) if (!list.some((s) => s.shed === id)) state.sheds.delete(id)
      putSheds(list, asOf)
      const fresh = new Map<string, Alarm>()
      for (const a of page.alarms ?? []) if (!touched.has(a.alarm_id)) fresh.set(a.alarm_id, a)
      for (const id of touched) {
        const a = state.open.get(id)
        if (a) fresh.set(id, a)
      }
      if (state.loaded) for (const a of fresh.values()) if (!state.open.has(a.alarm_id)) announce(a)
      state.open = fresh
      state.announced = state.announced.filter((a) => fresh.has(a.alarm_id))
      state.openTruncated = !!page.next
      state.loaded = true
      state.error = undefined
    } catch (err) {
      if (mine === asked) state.error = err
      throw err
    } finally {
      alarmListeners.delete(watch)
    }
  }

  /** When a shed's own list of outlet states last became different, in ms. */
  const statedAt = new Map<string, number>()

  /** Takes newer values whole: a quantity that is absent now is not measured now. */
  function putLive(shed: string, values: Live[]): void {
    let of = state.live.get(shed)
    if (!of) {
      state.live.set(shed, new Map())
      of = state.live.get(shed)!
    }
    for (const v of values) {
      const have = of.get(v.outlet)
      if (have && (instant(have.at) ?? 0) > (instant(v.at) ?? 0)) continue
      of.set(v.outlet, v)
      putState(shed, v)
    }
  }

  /**
   * Telemetry carries the outlet's state too. It counts when it is younger than the shed's
   * own word, and never against a latch: only the shed itself says that one is gone.
   */
  function putState(shed: string, v: Live): void {
    const s = state.sheds.get(shed)
    if (!s || !v.state || (instant(v.at) ?? 0) <= (statedAt.get(shed) ?? 0)) return
    const outlets = (s.outlets ??= [])
    const o = outlets.find((x) => x.outlet === v.outlet)
    if (!o) {
      outlets.push({ outlet: v.outlet, state: v.state, quality: v.quality ?? 'good' })
      outlets.sort((a, b) => a.outlet - b.outlet)
    } else if (!o.latched?.length) {
      o.state = v.state
      o.quality = v.quality ?? o.quality
    }
  }

  /**
   * The newer word counts. Null says that nothing was heard of the feeder lately: that is
   * true of an old value only, one that has just come is newer than the answer.
   */
  function putFeeder(shed: string, f: Feeder | null): void {
    const have = state.feeders.get(shed)
    if (!f) {
      if (have && isStale(have.at)) state.feeders.delete(shed)
    } else if (!have || (instant(have.at) ?? 0) <= (instant(f.at) ?? 0)) {
      state.feeders.set(shed, f)
    }
  }

  function announce(a: Alarm): void {
    if (a.state !== 'open' || a.acknowledged) return
    if (a.severity !== 'critical' && a.severity !== 'major') return
    const heard = Math.max(instant(a.raised_at) ?? 0, instant(a.received_at) ?? 0)
    if (api.now() - heard > announceWithin) return
    state.announced = [a, ...state.announced.filter((b) => b.alarm_id !== a.alarm_id)].sort(byUrgency).slice(0, 5)
  }

  function putAlarm(a: Alarm): void {
    const known = state.open.has(a.alarm_id)
    if (a.state === 'open') {
      state.open.set(a.alarm_id, a)
      if (!known) announce(a)
    } else {
      state.open.delete(a.alarm_id)
    }
    if (a.state !== 'open' || a.acknowledged) {
      state.announced = state.announced.filter((b) => b.alarm_id !== a.alarm_id)
    }
    for (const tell of [...alarmListeners]) tell(a)
    if (known !== (a.state === 'open')) recountSoon()
  }

  /** The sheds carry the count of open alarms; a burst of changes costs one request. */
  function recountSoon(): void {
    if (recount !== undefined) return
    recount = setTimeout(async () => {
      recount = undefined
      const asOf = told
      try {
        putSheds(await api.sheds(), asOf)
      } catch {
        recountLater()
      }
    }, 400)
  }

  function recountLater(): void {
    if (recount === undefined && state.link !== 'lost') recount = setTimeout(() => ((recount = undefined), recountSoon()), 5_000)
  }

  const said = new Map<string, string>()
  /** How many news of sheds the stream has brought, and which of them was each shed's last. */
  let told = 0
  const lastTold = new Map<string, number>()

  /** Takes an answer that was asked for when so many news had come; reports whether none came since. */
  function putAnswer(s: Shed, asOf: number): boolean {
    if ((lastTold.get(s.shed) ?? 0) <= asOf) {
      putShed(s)
      return true
    }
    // What was told meanwhile is newer: a suppression that was armed is not idle again.
    if (s.live) putLive(s.shed, s.live)
    if (s.feeder) putFeeder(s.shed, s.feeder)
    return false
  }

  /** The counts of open alarms in what was left out may be the newer ones: they are asked for once more. */
  function putSheds(list: Shed[], asOf: number): void {
    if (list.filter((s) => !putAnswer(s, asOf)).length) recountSoon()
  }

  /** Takes a shed that is being asked for at this moment. */
  async function takeShed(asking: Promise<Shed>): Promise<void> {
    const asOf = told
    putAnswer(await asking, asOf)
  }

  function putShed(s: Shed): void {
    const words = JSON.stringify(s.outlets ?? [])
    const before = said.get(s.shed)
    said.set(s.shed, words)
    if (before !== undefined && before !== words) statedAt.set(s.shed, api.now())
    state.sheds.set(s.shed, s)
    if (s.suppression?.until) state.now = api.now() // its seconds are counted from now, not from the last tick
    if (s.live) putLive(s.shed, s.live)
    if (s.feeder !== undefined) putFeeder(s.shed, s.feeder)
    for (const v of state.live.get(s.shed)?.values() ?? []) putState(s.shed, v)
  }

  /** The stream has a gap: what the views have read by themselves may lack it too. */
  function afresh(): void {
    for (const tell of [...resetListeners]) tell()
    void load().catch(() => {})
  }

  const handlers = {
    open(resumed: boolean): void {
      state.link = 'live'
      state.heardAt = api.now()
      // Without an id to resume from, what happened before the stream opened is not in it.
      if (!resumed) afresh()
    },
    heard(): void {
      state.heardAt = api.now()
    },
    lost(): void {
      if (state.link !== 'lost') state.lostAt = state.heardAt || api.now()
      state.link = 'lost'
    },
    message(m: Message): void {
      if (m.event === 'reset') return afresh()
      let data: unknown
      try {
        data = JSON.parse(m.data)
      } catch {
        return // One unreadable message must not end the stream; the next load puts it right.
      }
      if (m.event === 'alarm') putAlarm(data as Alarm)
      else if (m.event === 'shed') {
        lastTold.set((data as Shed).shed, ++told)
        putShed(data as Shed)
      } else if (m.event === 'outlets') {
        const o = data as { shed: string; live: Live[] | null; feeder?: Feeder | null }
        putLive(o.shed, o.live ?? [])
        if (o.feeder) putFeeder(o.shed, o.feeder)
      } else if (m.event === 'picture') {
        const p = data as AlarmPicture
        const a = state.open.get(p.alarm_id)
        if (a) a.picture_count = p.picture_count
        for (const tell of [...pictureListeners]) tell(p)
      } else if (m.event === 'snapshot') {
        for (const tell of [...snapshotListeners]) tell(data as Snapshot & { shed: string })
      }
    },
  }

  /** A value's age decides whether it may be read as the present. */
  function isStale(at: string | null | undefined): boolean {
    const t = instant(at)
    return t === undefined || state.now - t > staleAfter
  }

  /** What cannot be heard of a shed now: what is known of it is not the present. */
  function isAway(shed: Shed | undefined): boolean {
    return state.link === 'lost' || shed?.state !== 'online'
  }

  return {
    state,
    openAlarms,
    openCount,
    sheds,
    load,
    putAlarm,
    putShed,
    takeShed,
    putLive,
    putFeeder,
    isStale,
    isAway,
    handlers,
    onAlarm(f: AlarmListener): () => void {
      alarmListeners.add(f)
      return () => alarmListeners.delete(f)
    },
    onPicture(f: PictureListener): () => void {
      pictureListeners.add(f)
      return () => pictureListeners.delete(f)
    },
    onSnapshot(f: SnapshotListener): () => void {
      snapshotListeners.add(f)
      return () => snapshotListeners.delete(f)
    },
    /** When the stream has a gap, its first opening included: what was read before is to be read again. */
    onReset(f: () => void): () => void {
      resetListeners.add(f)
      return () => resetListeners.delete(f)
    },
    dismiss(): void {
      state.announced = []
    },
    clear(): void {
      applied = ++asked
      clearTimeout(recount)
      recount = undefined
      said.clear()
      statedAt.clear()
      Object.assign(state, {
        loaded: false,
        error: undefined,
        sheds: new Map(),
        live: new Map(),
        feeders: new Map(),
        open: new Map(),
        openTruncated: false,
        link: 'connecting',
        announced: [],
      })
    },
  }
}

export type Store = ReturnType<typeof createStore>
