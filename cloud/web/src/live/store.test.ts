import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Alarm, AlarmPage, Feeder, Live, Shed } from '../api/types'
import { announceWithin, byUrgency, createStore, staleAfter } from './store'

const start = Date.UTC(2026, 10, 23, 8)

function alarm(id: string, more: Partial<Alarm> = {}): Alarm {
  const at = new Date(Date.now()).toISOString()
  return {
    alarm_id: id,
    shed: 's1',
    shed_name: 'S 1',
    subject: 'outlet/3',
    cause: 'overcurrent',
    severity: 'major',
    level: 2,
    state: 'open',
    raised_at: at,
    received_at: at,
    value: 14,
    limit: 10,
    unit: 'A',
    action: 'tripped',
    latched: true,
    text: { zh: '', en: '' },
    acknowledged: null,
    ...more,
  }
}

function shed(id: string, more: Partial<Shed> = {}): Shed {
  return { shed: id, name: id, place: '', state: 'online', version: '', clock: 'synced', boot_id: '', outlets: [], open_alarms: 0, worst: '', ...more }
}

const frame = (event: string, data: unknown) => ({ event, data: JSON.stringify(data), id: '1' })

describe('store', () => {
  let sheds: Shed[]
  let page: AlarmPage
  const api = {
    sheds: vi.fn(async () => sheds),
    alarms: vi.fn(async () => page),
    now: () => Date.now(),
  }
  beforeEach(() => {
    vi.useFakeTimers({ now: start })
    vi.clearAllMocks()
    sheds = [shed('s1', { open_alarms: 1 })]
    page = { alarms: [alarm('A')], next: null }
  })
  afterEach(() => void vi.useRealTimers())

  it('loads sheds and open alarms without sounding for what was there before', async () => {
    const s = createStore(api)
    await s.load()
    expect(s.state.loaded).toBe(true)
    expect(s.openCount.value).toBe(1)
    expect(s.state.announced).toEqual([])
  })

  it('keeps an error until a load succeeds', async () => {
    const s = createStore(api)
    api.sheds.mockRejectedValueOnce(new Error('away'))
    await expect(s.load()).rejects.toThrow('away')
    expect(s.state.error).toBeInstanceOf(Error)
    expect(s.state.loaded).toBe(false)
    await s.load()
    expect(s.state.error).toBeUndefined()
  })

  it('announces a new critical or major alarm once, and no other', async () => {
    const s = createStore(api)
    await s.load()
    s.handlers.message(frame('alarm', alarm('B')))
    s.handlers.message(frame('alarm', alarm('B', { value: 15 })))
    expect(s.state.announced.map((a) => a.alarm_id)).toEqual(['B'])
    const quiet: Record<string, Partial<Alarm>> = {
      minor: { severity: 'minor' },
      acknowledged: { acknowledged: { by: 'x', at: '' } },
      cleared: { state: 'cleared' },
      old: { raised_at: new Date(start - announceWithin - 1).toISOString(), received_at: new Date(start - announceWithin - 1).toISOString() },
    }
    for (const [name, more] of Object.entries(quiet)) s.handlers.message(frame('alarm', alarm(name, more)))
    expect(s.state.announced.map((a) => a.alarm_id)).toEqual(['B'])
  })

  it('announces the fire of a zone before those of the outlets that it cut', async () => {
    const s = createStore(api)
    await s.load()
    const fire = { cause: 'fire', severity: 'critical' as const }
    s.handlers.message(frame('alarm', alarm('zone', { ...fire, subject: 'zone/bay-2' })))
    for (let n = 7; n <= 12; n++) s.handlers.message(frame('alarm', alarm(`o${n}`, { ...fire, subject: `outlet/${n}`, raised_at: new Date(start + n).toISOString() })))
    expect(s.state.announced[0]?.alarm_id).toBe('zone')
  })

  it('announces what was raised while the stream was away', async () => {
    const s = createStore(api)
    await s.load()
    page = { alarms: [alarm('A'), alarm('while-away', { severity: 'critical' })] }
    s.handlers.message({ event: 'reset', data: '', id: '5' })
    await vi.advanceTimersByTimeAsync(0)
    expect(s.state.announced.map((a) => a.alarm_id)).toEqual(['while-away'])
  })

  for (const [name, more] of Object.entries({ acknowledged: { acknowledged: { by: 'x', at: '' } }, cleared: { state: 'cleared' as const } })) {
    it(`is silent again when the alarm is ${name}`, async () => {
      const s = createStore(api)
      await s.load()
      s.handlers.message(frame('alarm', alarm('B')))
      s.handlers.message(frame('alarm', alarm('B', more)))
      expect(s.state.announced).toEqual([])
    })
  }

  it('a cleared alarm leaves, and the sheds are counted again once for a burst', async () => {
    const s = createStore(api)
    await s.load()
    api.sheds.mockClear()
    sheds = [shed('s1', { open_alarms: 20 })]
    for (let i = 0; i < 20; i++) s.handlers.message(frame('alarm', alarm('N' + i)))
    s.handlers.message(frame('alarm', alarm('A', { state: 'cleared' })))
    expect(s.state.open.has('A')).toBe(false)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(api.sheds).toHaveBeenCalledOnce()
    expect(s.openCount.value).toBe(20)
  })

  it('a change that arrives while loading is newer than the answer', async () => {
    const s = createStore(api)
    await s.load()
    let answer!: (p: AlarmPage) => void
    api.alarms.mockReturnValueOnce(new Promise((r) => (answer = r)))
    const loading = s.load()
    s.handlers.message(frame('alarm', alarm('A', { state: 'cleared' })))
    s.handlers.message(frame('alarm', alarm('B')))
    answer({ alarms: [alarm('A')] })
    await loading
    expect([...s.state.open.keys()]).toEqual(['B'])
  })

  it('an answer that was overtaken is dropped', async () => {
    const s = createStore(api)
    let slow!: (p: AlarmPage) => void
    api.alarms.mockReturnValueOnce(new Promise((r) => (slow = r)))
    const first = s.load()
    page = { alarms: [alarm('new')] }
    await s.load()
    slow({ alarms: [alarm('old')] })
    await first
    expect([...s.state.open.keys()]).toEqual(['new'])
  })

  it('keeps the younger of two values and says when it is stale', () => {
    const s = createStore(api)
    const at = (t: number): Live => ({ outlet: 3, watts: t, at: new Date(t).toISOString() })
    s.handlers.message(frame('outlets', { shed: 's1', live: [at(start)] }))
    s.handlers.message(frame('outlets', { shed: 's1', live: [at(start - 5_000)] }))
    expect(s.state.live.get('s1')!.get(3)!.watts).toBe(start)
    expect(s.isStale(new Date(start - staleAfter).toISOString())).toBe(false)
    expect(s.isStale(new Date(start - staleAfter - 1).toISOString())).toBe(true)
    expect(s.isStale(undefined)).toBe(true)
    expect(s.isStale('0001-01-01T00:00:00Z')).toBe(true)
  })

  it('does not go on showing a quantity that is no longer measured', () => {
    const s = createStore(api)
    s.putLive('s1', [{ outlet: 3, celsius: 24, at: new Date(start).toISOString() }])
    s.putLive('s1', [{ outlet: 3, watts: 1, at: new Date(start + 1_000).toISOString() }])
    expect(s.state.live.get('s1')!.get(3)!.celsius).toBeUndefined()
  })

  it('takes an outlet’s state from telemetry when it is younger than the shed’s word, never against a latch', async () => {
    const outlets = () => [
      { outlet: 1, state: 'ready' as const, quality: 'good' as const },
      { outlet: 2, state: 'tripped' as const, quality: 'good' as const, latched: ['overcurrent'] },
    ]
    sheds = [shed('s1', { outlets: outlets() })]
    const s = createStore(api)
    await s.load()
    const states = () => s.state.sheds.get('s1')!.outlets!.map((o) => o.state)
    const at = (t: number) => new Date(t).toISOString()
    s.putLive('s1', [1, 2, 5].map((outlet) => ({ outlet, state: 'charging' as const, at: at(start) })))
    expect(states()).toEqual(['charging', 'tripped', 'charging'])
    // The same word of the shed again, as when alarms are counted: telemetry stays the younger one.
    s.putShed(shed('s1', { outlets: outlets() }))
    expect(states()).toEqual(['charging', 'tripped', 'charging'])
    // A new word of the shed is younger than the telemetry before it.
    vi.setSystemTime(start + 5_000)
    s.putShed(shed('s1', { outlets: [{ outlet: 1, state: 'off', quality: 'good' }] }))
    expect(states()).toEqual(['off'])
    s.putLive('s1', [{ outlet: 1, state: 'charging', at: at(start + 4_000) }])
    expect(states()).toEqual(['off'])
    s.putLive('s1', [{ outlet: 1, state: 'ready', at: at(start + 6_000) }])
    expect(states()).toEqual(['ready'])
  })

  it('says since when the connection is away: the last time it was heard', () => {
    const s = createStore(api)
    s.handlers.open(true)
    vi.setSystemTime(start + 10_000)
    s.handlers.heard()
    vi.setSystemTime(start + 45_000)
    s.handlers.lost()
    vi.setSystemTime(start + 90_000)
    s.handlers.lost()
    expect(s.state.link).toBe('lost')
    expect(s.state.lostAt).toBe(start + 10_000)
    s.handlers.open(true)
    expect(s.state.link).toBe('live')
  })

  it('reads everything afresh when a stream opens without an id to resume from', async () => {
    const s = createStore(api)
    const views = vi.fn()
    const off = s.onReset(views)
    s.handlers.open(false)
    await vi.advanceTimersByTimeAsync(0)
    expect(api.alarms).toHaveBeenCalledOnce()
    expect(views, 'a view has lists of its own').toHaveBeenCalledOnce()
    s.handlers.open(true)
    await vi.advanceTimersByTimeAsync(0)
    expect(api.alarms).toHaveBeenCalledOnce()
    expect(views).toHaveBeenCalledOnce()
    off()
  })

  it('survives a message that it cannot read', () => {
    const s = createStore(api)
    s.handlers.message({ event: 'alarm', data: '{', id: '2' })
    s.handlers.message({ event: 'of a newer version', data: '{}', id: '3' })
    expect(s.state.open.size).toBe(0)
  })

  it('counts a picture that comes with its alarm, and tells who looks', async () => {
    const s = createStore(api)
    await s.load()
    const told: string[] = []
    const offs = [s.onPicture((p) => void told.push(`${p.alarm_id}/${p.n}`)), s.onSnapshot((p) => void told.push(`${p.shed}/${p.camera}`))]
    s.handlers.message(frame('picture', { shed: 's1', alarm_id: 'A', n: 2, received_at: '', bytes: 9, picture_count: 3 }))
    s.handlers.message(frame('picture', { shed: 's1', alarm_id: 'B', n: 0, received_at: '', bytes: 9, picture_count: 1 }))
    s.handlers.message(frame('snapshot', { shed: 's1', camera: 'c1', id: 'X', received_at: '', bytes: 9 }))
    expect(s.state.open.get('A')?.picture_count).toBe(3)
    expect(s.state.open.has('B')).toBe(false)
    expect(told).toEqual(['A/2', 'B/0', 's1/c1'])
    for (const off of offs) off()
    s.handlers.message(frame('snapshot', { shed: 's1', camera: 'c1', id: 'Y', received_at: '', bytes: 9 }))
    expect(told).toHaveLength(3)
  })

  it('does not take an older answer for news: what was told while it was under way stands', async () => {
    const s = createStore(api)
    const phase = () => s.state.sheds.get('s1')?.suppression?.phase
    const idle = shed('s1', { suppression: { phase: 'idle' }, open_alarms: 1 })
    const armed = frame('shed', shed('s1', { suppression: { phase: 'armed' }, open_alarms: 1 }))
    sheds = [idle, shed('s2')]
    const loading = s.load()
    s.handlers.message(armed)
    await loading
    expect([phase(), s.state.sheds.has('s2')]).toEqual(['armed', true])
    // The count of open alarms in the answer may be newer: it is asked for once more.
    sheds = [shed('s1', { suppression: { phase: 'vetoed' }, open_alarms: 4 })]
    await vi.advanceTimersByTimeAsync(500)
    expect([phase(), s.openCount.value]).toEqual(['vetoed', 4])
    expect(api.sheds).toHaveBeenCalledTimes(2)

    const asking = s.takeShed(Promise.resolve({ ...idle, live: [{ outlet: 1, watts: 5, at: new Date().toISOString() }] }))
    s.handlers.message(armed)
    await asking
    expect([phase(), s.state.live.get('s1')?.get(1)?.watts]).toEqual(['armed', 5])
    await s.takeShed(Promise.resolve(idle))
    expect(phase()).toBe('idle')
    await vi.advanceTimersByTimeAsync(5_000)
    expect(api.sheds).toHaveBeenCalledTimes(2)
  })

  it('counts the seconds of a suppression from the moment it is told of', () => {
    const s = createStore(api)
    vi.setSystemTime(start + 900)
    s.putShed(shed('s1', { suppression: { phase: 'vetoed', until: null } }))
    expect(s.state.now).toBe(start)
    s.handlers.message(frame('shed', shed('s1', { suppression: { phase: 'armed', until: '2026-11-23T08:00:15Z' } })))
    expect(s.state.now).toBe(start + 900)
  })

  it('keeps the newest word of a feeder, whatever brings it', () => {
    const s = createStore(api)
    const at = (ms: number, watts: number): Feeder => ({ watts, committed_watts: watts, soft_watts: 5610, hard_watts: 6600, refusing: false, waiting: 0, shed: 0, at: new Date(ms).toISOString() })
    const told = () => s.state.feeders.get('s1')?.watts
    s.putShed(shed('s1'))
    expect(told()).toBeUndefined()
    s.putShed(shed('s1', { feeder: at(start, 100) }))
    s.handlers.message(frame('outlets', { shed: 's1', live: null, feeder: at(start + 10_000, 200) }))
    expect(told()).toBe(200)
    s.handlers.message(frame('outlets', { shed: 's1', live: [], feeder: at(start + 5_000, 150) }))
    s.putShed(shed('s1', { feeder: at(start, 100) }))
    s.putShed(shed('s1', { siren: true })) // news of the shed say nothing of its feeder
    s.handlers.message(frame('outlets', { shed: 's1', live: [] }))
    s.handlers.message(frame('outlets', { shed: 's1', live: [], feeder: null }))
    s.putShed(shed('s1', { feeder: null })) // an answer that is older than what the stream brought
    expect(told()).toBe(200)
    s.state.now = start + 10_000 + staleAfter + 1
    s.putShed(shed('s1', { feeder: null }))
    expect(told()).toBeUndefined()
    expect(s.state.sheds.get('s1')?.siren).toBeUndefined()
  })

  it('forgets everything with the session', async () => {
    const s = createStore(api)
    await s.load()
    s.putFeeder('s1', { watts: 1, committed_watts: 1, soft_watts: 2, hard_watts: 3, refusing: false, waiting: 0, shed: 0, at: new Date(start).toISOString() })
    s.clear()
    expect(s.state.open.size + s.state.sheds.size + s.state.feeders.size).toBe(0)
    expect(s.state.loaded).toBe(false)
  })
})

it('byUrgency: severity first, then what nobody has taken, then the newest', () => {
  const list = [
    alarm('minor', { severity: 'minor', raised_at: '2026-11-23T08:09:00Z' }),
    alarm('major-taken', { acknowledged: { by: 'x', at: '' }, raised_at: '2026-11-23T08:08:00Z' }),
    alarm('major-old', { raised_at: '2026-11-23T08:00:00Z' }),
    alarm('critical', { severity: 'critical', raised_at: '2026-11-23T07:00:00Z' }),
    alarm('major-new', { raised_at: '2026-11-23T08:05:00Z' }),
    alarm('odd', { severity: 'of a newer version' as never }),
  ]
  expect(list.sort(byUrgency).map((a) => a.alarm_id)).toEqual(['critical', 'major-new', 'major-old', 'major-taken', 'minor', 'odd'])
})
