// A small server that speaks /api/v1 with made-up sheds, for tests of the page alone:
// states that are hard to reach with the real system are one call away.

import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const dist = fileURLToPath(new URL('../dist', import.meta.url))
const types = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
}
/** The policy that the real server should send; a page that breaks it logs an error and fails its test. */
const policy = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

/** With SHEDGUARD_E2E_SLOW every answer takes its time, none the same: what a test may not take for granted. */
const dawdle = () => (process.env.SHEDGUARD_E2E_SLOW ? new Promise((done) => setTimeout(done, Math.random() * 500)) : undefined)

const crockford = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
export function ulid(n) {
  let s = ''
  for (let i = 0; i < 16; i++, n = Math.floor(n / 32)) s = crockford[n % 32] + s
  return '01KAQ5W2ZB' + s
}

// As the gateway writes them; {n}, {v} and {l} are outlet, value and limit.
const texts = {
  overcurrent: [
    '{n} 号插座：过电流（{v} A，限值 {l} A）。网关已断电，复位前不会送电。请到现场拔下充电器，查看插座和线缆有无发热、焦痕，确认无异常后再复位。',
    'Outlet {n}: overcurrent ({v} A, limit {l} A). The gateway has cut the power; it stays off until a person resets it. Go and unplug the charger, look for hot or scorched parts, and reset only when all is well.',
  ],
  over_temperature: [
    '{n} 号插座：温度过高（{v} °C，限值 {l} °C）。网关已断电，复位前不会送电。请立即到现场查看插座和电池；若有冒烟或明火，先疏散人员并拨打 119。',
    'Outlet {n}: over-temperature ({v} °C, limit {l} °C). The gateway has cut the power; it stays off until a person resets it. Go and look at the outlet and the battery now; if there is smoke or fire, clear the shed and call the fire service (119).',
  ],
  meter_stale: [
    '{n} 号插座：测量数据中断（{v} 秒，限值 {l} 秒）。网关已暂停供电，恢复正常后会自动送电。若十分钟内没有恢复，请联系维修人员检查测量模块和接线。',
    'Outlet {n}: measurements lost ({v} s, limit {l} s). The gateway has suspended power and restores it by itself once this is over. If it has not recovered within ten minutes, have the meter module and its wiring checked.',
  ],
  relay_welded: [
    '{n} 号插座：继电器粘连（{v} A，限值 {l} A）。网关已发出断电指令并鸣响警笛。插座可能仍然带电：请立即拉下该路空气开关，并联系维修人员更换继电器。',
    'Outlet {n}: welded relay ({v} A, limit {l} A). The gateway has ordered the power off and sounds the siren. The outlet may still be live: switch off its breaker now and have the relay replaced.',
  ],
  gateway_offline: [
    '网关：离线。可能断电或断网。有电时现场保护照常工作，但收不到报警：请检查网关的供电和网络，恢复前加强巡查。',
    'Gateway: offline. It may have lost its power or its network. While it has power it protects, but its alarms do not arrive: check both, and patrol until it is back.',
  ],
  flame_seen: [
    '摄像头 {n}：摄像头发现火焰（{v}，限值 {l}）。网关已鸣响警笛。请立即查看图片并到现场；若有明火，先疏散人员并拨打 119。',
    'Camera {n}: flame seen by camera ({v}, limit {l}). The gateway sounds the siren. Look at the picture and go there now; if there is fire, clear the shed and call the fire service (119).',
  ],
  float_too_high: [
    '{n} 号插座：浮充电流过大（{v} A，限值 {l} A）。电池或充电器可能异常：请通知车主尽快断开并检查。',
    'Outlet {n}: float current too high ({v} A, limit {l} A). Battery or charger may be faulty: ask the owner to unplug and check it soon.',
  ],
  fire: [
    '{n}：火灾。网关已切断本区全部插座，复位前不会送电。请立即疏散人员并拨打 119；锂电池着火会复燃，不要靠近。',
    '{n}: fire. The gateway has cut every outlet of the zone; they stay off until a person resets them. Clear the shed and call the fire service (119) now; burning lithium batteries flare up again, keep away.',
  ],
  short_circuit: [
    '{n} 号插座：短路（{v} A，限值 {l} A）。网关已断电，复位前不会送电。请立即到现场，不要触摸充电器和线缆，确认无冒烟、无焦味后再拔下；查明原因前不要复位。',
    'Outlet {n}: short circuit ({v} A, limit {l} A). The gateway has cut the power; it stays off until a person resets it. Go there now. Do not touch charger or cable while there is smoke or a burnt smell; do not reset before the cause is found.',
  ],
}
const kinds = [
  ['overcurrent', 'major', 'A', 13.8, 10, 'tripped', true],
  ['over_temperature', 'major', '°C', 72.4, 65, 'tripped', true],
  ['meter_stale', 'minor', 's', 3.2, 3, 'suspended', false],
  ['relay_welded', 'critical', 'A', 1.7, 0.2, 'siren', true],
  ['float_too_high', 'warning', 'A', 0.62, 0.45, 'none', false],
]

/** What a camera of a made-up shed sees: a drawing, with a box where something burns. */
function drawing(label, flame) {
  const bikes = [150, 330, 510, 690].map((x) => `<g stroke="#222d36" stroke-width="9" fill="none"><circle cx="${x}" cy="400" r="44"/><circle cx="${x + 104}" cy="400" r="44"/><path d="M${x} 400 l44 -76 h60 M${x + 104} 400 l-24 -110 h-24"/></g>`).join('')
  const fire = flame ? '<path d="M560 380 q-46 -70 0 -126 q6 38 30 50 q-4 -60 26 -90 q0 60 36 96 q24 44 -22 70z" fill="#ff9a1f"/><rect x="528" y="190" width="150" height="206" fill="none" stroke="#ff2b2b" stroke-width="5"/><text x="530" y="180" fill="#ff5a5a" font-size="26">flame 0.91</text>' : ''
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 540" width="960" height="540" font-family="sans-serif"><rect width="960" height="540" fill="#75838e"/><rect y="410" width="960" height="130" fill="#4c565e"/><path d="M0 90 L960 40 V0 H0z" fill="#39444d"/>${bikes}${fire}<text x="24" y="516" fill="#ffffff" font-size="26">${label}</text></svg>`
}

export class Fake {
  constructor() {
    this.user = 'admin'
    this.password = 'correct horse'
    this.role = 'admin'
    this.signedIn = new Set()
    this.endOn = undefined // path whose next request finds every session ended
    this.streams = new Set()
    this.log = []
    this.asked = [] // every address of the API that was asked for
    this.nextId = 1000
    this.seq = 0
    this.ring = []
    this.refusal = undefined // answer to the next commands: {code, text}
    this.commandStatus = 0 // or an HTTP status
    this.fail = new Map() // path prefix → HTTP status
    this.refuseStreams = false
    this.commandDelay = 300
    this.late = new Map() // path → promise: its answers are put together at once and leave when it is kept
    this.held = [] // paths whose answers are put together and have not left
    this.sheds = new Map()
    this.live = new Map()
    this.feeders = new Map() // by shed; a shed without one is as an older collector tells of it
    this.alarms = []
    this.notify = { on: true, people: ['值班员', 'night shift'], channels: ['wecom-duty', 'mail'] }
    this.testAnswer = 204 // to a test message; with another status, testDetail is why
    this.testDetail = ''
    this.deliveries = []
    this.events = new Map() // by shed, newest first
    this.seriesGap = true
    const rows = [
      ['yulan-3', '玉兰苑 3 号棚', '朝阳区 · 玉兰苑小区 · 东门', 'online'],
      ['yulan-7', '玉兰苑 7 号棚', '朝阳区 · 玉兰苑小区 · 北门', 'online'],
      ['heping-1', '和平里 1 号棚', '东城区 · 和平里七区', 'online'],
      ['heping-2', '和平里 2 号棚', '东城区 · 和平里七区 · 地面层', 'offline'],
      ['huilong-a', '回龙观 A 棚', '昌平区 · 龙跃苑二区', 'online'],
      ['jiuxian-5', 'Jiuxianqiao 5', 'Chaoyang · Jiangtai Rd', 'silent'],
    ]
    const pattern = ['charging', 'charging', 'ready', 'charging', 'full', 'charging', 'off', 'ready', 'charging', 'ready', 'charging', 'full']
    rows.forEach(([shed, name, place, state], i) => {
      this.sheds.set(shed, {
        shed,
        name,
        place,
        state,
        since: this.ago(state === 'online' ? 86_400_000 * 3 : 2_520_000),
        last_seen: this.ago(state === 'online' ? 2_000 : 2_520_000),
        version: '0.1.0',
        clock: 'synced',
        boot_id: ulid(i + 1),
        outlets: pattern.map((_, n) => ({ outlet: n + 1, state: pattern[(n + i * 5) % 12], quality: 'good' })),
      })
      this.live.set(shed, new Map(pattern.map((_, n) => [n + 1, this.sample(shed, n + 1, state === 'online' ? 4_000 : 2_520_000)])))
    })
    this.outlet('yulan-3', 3, 'tripped', ['overcurrent'])
    this.outlet('yulan-3', 8, 'suspended')
    this.outlet('huilong-a', 5, 'fault')
    this.outlet('heping-1', 11, 'tripped', ['relay_welded'])
    this.alarm('gateway_offline', 'heping-2', 'shed', 2_520_000, { severity: 'major', unit: '', value: 0, limit: 0, action: 'none', latched: false })
    this.alarm('overcurrent', 'yulan-3', 'outlet/3', 780_000)
    this.alarm('relay_welded', 'heping-1', 'outlet/11', 190_000)
    this.alarm('meter_stale', 'yulan-3', 'outlet/8', 65_000)
    const seen = this.alarm('float_too_high', 'huilong-a', 'outlet/2', 5_400_000)
    seen.acknowledged = { by: '值班员', at: this.ago(4_800_000), comment: '已联系车主，今晚取车。' }
    for (let i = 0; i < 24; i++) {
      const kind = kinds[i % 3][0]
      const a = this.alarm(kind, rows[i % 6][0], `outlet/${(i % 12) + 1}`, 7_200_000 + i * 3_300_000)
      a.state = 'cleared'
      a.cleared_at = new Date(Date.parse(a.raised_at) + 240_000 + i * 60_000).toISOString()
      if (i % 2) a.acknowledged = { by: 'admin', at: a.cleared_at, comment: '' }
    }
    for (const shed of this.sheds.keys()) this.events.set(shed, [])
    this.cameras = new Map([
      ['yulan-3', [this.camera('east-door', { flame: 0.91, smoke: 0.4 }, 95_000), this.camera('west', { state: 'blind', detail: 'picture_covered' }, 7_400_000), this.camera('north', { state: 'lost' }), this.camera('row-2', { shadow: true, flame: 0.02, smoke: 0.07 })]],
    ])
    this.feeds = true // telemetry goes on telling of the feeders
    this.pictureDelay = 300 // from the reply to the picture of a snapshot
    this.flame = this.alarm('flame_seen', 'yulan-3', 'camera/east-door', 240_000, { severity: 'major', grade: 'pre_alarm', unit: '', value: 0.91, limit: 0.5, action: 'siren', latched: false })
    this.flame.state = 'cleared'
    this.flame.cleared_at = this.ago(60_000)
    for (let n = 0; n < 3; n++) this.picture(this.flame, 236_000 - n * 9_000, false)
    this.cameras.get('yulan-3')[0].alarms = [this.flame]
    this.day('yulan-3')
    const cut = this.alarms.find((a) => a.cause === 'overcurrent' && a.state === 'open')
    const weld = this.alarms.find((a) => a.cause === 'relay_welded' && a.state === 'open')
    this.deliver('值班员', 'raised', [cut], 778_000, [['wecom-duty', 'failed', 'wecom-duty: HTTP 503 Service Unavailable'], ['mail', 'sent', '']])
    this.deliver('值班员', 'reminder', [cut], 650_000, [['wecom-duty', 'sent', '']], { round: 1 })
    this.deliver('night shift', 'escalated', [cut], 470_000, [['mail', 'sent', '']])
    this.deliver('night shift', 'summary', this.alarms.filter((a) => a.cause === 'meter_stale').slice(0, 3), 300_000, [['mail', 'begun', ''], ['mail', 'sent', '']])
    this.deliver('值班员', 'raised', [weld], 188_000, [['wecom-duty', 'failed', 'wecom-duty: errcode 93000: invalid webhook url']], { state: 'failed', reason: 'wecom-duty: errcode 93000: invalid webhook url' })
    this.deliver('night shift', 'raised', [weld], 187_000, [['mail', 'failed', 'dial tcp 127.0.0.1:25: connection refused']], { state: 'pending', reason: 'dial tcp 127.0.0.1:25: connection refused', next_at: new Date(Date.now() + 60_000).toISOString() })
  }

  camera(camera, more, snapshotAge) {
    const snapshot = snapshotAge ? { camera, id: ulid(this.nextId++), received_at: this.ago(snapshotAge), bytes: 40_000 } : null
    return { camera, state: 'sees', detail: '', fps: 5, flame: 0.03, smoke: 0.01, shadow: false, at: this.ago(2_000), alarms: [], snapshot, ...more }
  }

  /** A picture of an alarm, as it comes from the shed. */
  picture(a, age = 0, tell = true) {
    a.pictures ??= []
    const p = { n: a.pictures.length, received_at: this.ago(age), bytes: 40_000 + a.pictures.length }
    a.pictures.push(p)
    a.picture_count = a.pictures.length
    if (tell) this.publish('picture', { shed: a.shed, alarm_id: a.alarm_id, ...p, picture_count: a.picture_count })
  }

  /** The picture that was asked of a camera. */
  snapshot(shed, camera, id) {
    const s = { camera, id, received_at: this.ago(0), bytes: 40_000 }
    const c = this.cameras.get(shed)?.find((x) => x.camera === camera)
    if (c) c.snapshot = s
    this.publish('snapshot', { shed, ...s })
  }

  svg(res, label, flame) {
    res.writeHead(200, { 'Content-Type': 'image/svg+xml', 'Cache-Control': 'no-store' })
    res.end(drawing(label, flame))
  }

  /** One message to one person, with its attempts: [channel, result, error]. */
  deliver(person, kind, alarms, age, attempts, { round = 0, state = 'sent', reason = '', next_at = '0001-01-01T00:00:00Z' } = {}) {
    const num = this.deliveries.length + 1
    const d = {
      num,
      id: ulid(this.nextId++),
      person,
      kind,
      created_at: this.ago(age),
      state,
      reason,
      channel: attempts.at(-1)[0],
      refused: [],
      attempts: attempts.length,
      next_at,
      done_at: state === 'pending' ? '0001-01-01T00:00:00Z' : this.ago(age - attempts.length * 900),
      notices: alarms.map((a) => ({ alarm_id: a.alarm_id, person, kind: kind === 'summary' ? 'raised' : kind, round, severity: a.severity, at: this.ago(age), shed: a.shed, subject: a.subject, cause: a.cause })),
      log: attempts.map(([channel, result, error], i) => ({ num: num * 10 + i, at: this.ago(age - i * 900), channel, result, error, took_ms: result === 'begun' ? 0 : 140 + i * 37 })),
    }
    this.deliveries.unshift(d)
    return d
  }

  event(shed, type, data, age, subject = data.outlet ? `outlet/${data.outlet}` : 'shed') {
    const e = { id: ulid(this.nextId++), type, subject, at: this.ago(age), received_at: this.ago(age), data }
    this.events.get(shed).unshift(e)
    return e
  }

  /** A command that was given from the page, and what the gateway then says about it once more. */
  given(shed, kind, args, by, reply, age) {
    const e = { id: ulid(this.nextId++), type: 'command', subject: '', at: this.ago(age), received_at: this.ago(age), kind, by, data: args, reply }
    this.events.get(shed).unshift(e)
    if (reply) this.event(shed, 'command.done', { command_id: e.id, kind, by, ok: reply.ok, code: reply.code }, age - 40)
    return e
  }

  /** What happens in a shed in an evening. */
  day(shed) {
    const at = (age) => this.ago(age)
    this.event(shed, 'config.refused', { hash: 'b6c1f00d9a7e2c44', faults: ['outlets[3].rating_a: 63: want 1 to 32'] }, 40_000_000)
    this.event(shed, 'config.applied', { hash: '8f14e45fceea167a' }, 39_000_000)
    for (let i = 0; i < 8; i++) {
      const outlet = (i % 6) + 1
      const age = 30_000_000 - i * 3_000_000
      this.event(shed, 'session.begun', { session_id: ulid(9000 + i), outlet, by: i % 3 ? 'plug' : 'admin', phase: 'waiting', begun_at: at(age), energy_wh: 0, peak_watts: 0 }, age)
      this.event(shed, 'relay.operated', { outlet, closed: true, why: i % 3 ? 'session' : 'command', sample_to_relay: 0, verified: true }, age - 400)
      this.event(shed, 'session.phase', { outlet, by: 'plug', phase: 'charging', energy_wh: 0 }, age - 4_000)
      this.event(shed, 'session.ended', { outlet, by: 'plug', phase: ['unplugged', 'stopped', 'limit_wh', 'no_load'][i % 4], reason: 'Other', begun_at: at(age), ended_at: at(age - 2_400_000), energy_wh: 180 + i * 160, peak_watts: 240 + i * 31 }, age - 2_400_000)
      this.event(shed, 'relay.operated', { outlet, closed: false, why: 'session', sample_to_relay: 0, verified: true }, age - 2_400_300)
    }
    this.event(shed, 'relay.operated', { outlet: 3, closed: false, why: 'overcurrent', sample_to_relay: 4_183, verified: true }, 780_000)
    this.event(shed, 'session.ended', { outlet: 3, by: 'plug', phase: 'tripped', reason: 'Other', begun_at: at(5_400_000), ended_at: at(780_000), energy_wh: 412.4, peak_watts: 3104 }, 779_900)
    this.given(shed, 'reset_trip', { outlet: 3 }, 'admin', { at: at(599_000), ok: false, code: 'cause_stands', text: 'overcurrent: 13.8 A, limit 10 A' }, 600_000)
    this.event(shed, 'session.phase', { outlet: 8, by: 'plug', phase: 'suspended', energy_wh: 96.2 }, 65_000)
    this.given(shed, 'start', { outlet: 4 }, '值班员', { at: at(29_000), ok: true }, 30_000)
  }

  ago(ms) {
    return new Date(Date.now() - ms).toISOString()
  }

  outlet(shed, n, state, latched) {
    const o = this.sheds.get(shed).outlets.find((x) => x.outlet === n)
    o.state = state
    o.latched = latched
    o.quality = state === 'fault' ? 'fault' : state === 'suspended' ? 'stale' : 'good'
    this.live.get(shed).set(n, this.sample(shed, n, state === 'suspended' || state === 'fault' ? 65_000 : 3_000))
  }

  sample(shed, n, age) {
    const state = this.sheds.get(shed)?.outlets.find((o) => o.outlet === n)?.state ?? 'charging'
    const jitter = Math.sin(Date.now() / 3000 + n * 7)
    const volts = 224 + jitter * 1.5
    const amps = { charging: 0.6 + ((n * 37) % 12) / 10, full: 0.09, ready: 0.01 }[state] ?? 0
    const pf = amps > 0.2 ? 0.94 + (n % 5) / 100 : amps > 0.05 ? 0.61 : 0
    return {
      outlet: n,
      volts,
      amps: amps + amps * jitter * 0.02,
      watts: volts * amps * pf,
      pf,
      celsius: n === 6 ? null : 24 + amps * 6 + n / 10,
      energy_wh: state === 'charging' ? 130 * n + 12 : state === 'full' ? 1240.5 : 0,
      at: this.ago(age),
    }
  }

  alarm(cause, shed, subject, age, more = {}) {
    const [, severity, unit, value, limit, action, latched] = kinds.find((k) => k[0] === cause) ?? ['', 'critical', 'A', 41.6, 30, 'tripped', true]
    const fill = (s) => s.replace('{n}', subject.split('/')[1]).replace('{v}', more.value ?? value).replace('{l}', more.limit ?? limit)
    const [zh, en] = texts[cause] ?? [cause, cause]
    const a = {
      alarm_id: ulid(this.nextId++),
      shed,
      shed_name: this.sheds.get(shed).name,
      subject,
      cause,
      severity,
      level: 1,
      grade: '',
      state: 'open',
      raised_at: this.ago(age),
      since: this.ago(age + 1_800),
      cleared_at: null,
      received_at: this.ago(age - 180),
      value,
      limit,
      unit,
      action,
      latched,
      evidence: [],
      text: { zh: fill(zh), en: fill(en) },
      acknowledged: null,
      ...more,
    }
    a.comments = []
    this.alarms.push(a)
    return a
  }

  /** A new alarm, as it would come from a shed at this moment. */
  raise(cause, shed, subject, more) {
    const a = this.alarm(cause, shed, subject, 0, more)
    const n = Number(subject.split('/')[1])
    if (n && a.latched) {
      this.outlet(shed, n, 'tripped', [cause])
      this.publish('shed', this.shed(shed))
    }
    this.publish('alarm', a)
    return a
  }

  clear(a) {
    a.state = 'cleared'
    a.cleared_at = this.ago(0)
    this.publish('alarm', a)
  }

  many(n) {
    const sheds = [...this.sheds.keys()]
    for (let i = 0; i < n; i++) this.alarm(kinds[i % kinds.length][0], sheds[i % sheds.length], `outlet/${(i % 12) + 1}`, 10_000_000 + i * 1000)
  }

  shed(id) {
    const s = this.sheds.get(id)
    const open = this.alarms.filter((a) => a.shed === id && a.state === 'open')
    const worst = ['critical', 'major', 'minor', 'warning'].find((w) => open.some((a) => a.severity === w)) ?? ''
    return { ...s, open_alarms: open.length, worst }
  }

  /** The gateway says anew how its siren and its suppression are. */
  says(shed, more) {
    Object.assign(this.sheds.get(shed), more)
    this.publish('shed', this.shed(shed))
  }

  /** A suppression of a shed, in a phase that ends in so many ms. */
  suppression(phase, left, more = {}) {
    return { phase, zone: phase === 'idle' ? '' : 'bay-1', alarm_id: '', by: '', until: left === undefined ? null : this.ago(-left), ...more }
  }

  /** Telemetry brings what the feeder of a shed carries. */
  feed(shed, more = {}, age = 500) {
    const f = { watts: 1510.4, committed_watts: 2890, soft_watts: 5610, hard_watts: 6600, refusing: false, waiting: 0, shed: 0, ...this.feeders.get(shed), ...more, at: this.ago(age) }
    this.feeders.set(shed, f)
    this.publish('outlets', { shed, live: [], feeder: f })
  }

  /** Everything that calls for a person at once: the siren, a suppression about to release, a feeder that is full. */
  calls(shed) {
    this.feed(shed, { watts: 6010.4, committed_watts: 6290, refusing: true, waiting: 2, shed: 1 })
    this.says(shed, { siren: true, suppression: this.suppression('armed', 290_000, { alarm_id: this.flame.alarm_id }) })
  }

  /** What a gateway says when it has looked at itself. */
  selfTest(s) {
    const bad = { relays: this.relaysFault, 'outlet/8/meter': 'meter: no acknowledge from address 0x66' }
    const checks = ['guard', 'relays', 'lamp', ...s.outlets.flatMap((o) => ['meter', 'thermometer', 'relay'].map((part) => `outlet/${o.outlet}/${part}`)), 'disk', 'clock', 'suppression', 'pump/2']
      .map((name) => (bad[name] ? { name, ok: false, detail: bad[name] } : { name, ok: true, ...({ lamp: { detail: 'lit for 3s: look whether it is' }, suppression: { detail: 'idle' }, 'pump/2': { detail: 'primed' } })[name] }))
    return { ok: checks.every((c) => c.ok), checks }
  }

  publish(event, data) {
    const change = { id: ++this.seq, event, data: JSON.stringify(data) }
    this.ring.push(change)
    for (const res of this.streams) this.frame(res, change)
  }

  frame(res, c) {
    res.write(`id: ${c.id}\nevent: ${c.event}\ndata: ${c.data}\n\n`)
  }

  /** The server stops answering streams: the page must say so. */
  dropStreams() {
    this.refuseStreams = true
    for (const res of this.streams) res.destroy()
    this.streams.clear()
  }

  restoreStreams() {
    this.refuseStreams = false
  }

  /** Fresh values for the sheds that are online. */
  tick() {
    for (const [id, s] of this.sheds) {
      if (s.state !== 'online') continue
      s.last_seen = this.ago(500)
      const values = s.outlets.filter((o) => o.quality === 'good').map((o) => this.sample(id, o.outlet, 500))
      for (const v of values) this.live.get(id).set(v.outlet, v)
      const feeder = this.feeders.get(id)
      if (feeder && this.feeds) feeder.at = this.ago(500)
      this.publish('outlets', { shed: id, live: values, ...(feeder && this.feeds && { feeder }) })
    }
  }

  async start() {
    this.server = createServer((req, res) => {
      this.handle(req, res).catch((err) => {
        if (err.code === 'ECONNRESET') return // the page went elsewhere: nobody waits for the answer
        this.log.push(err)
        if (!res.headersSent) this.problem(res, 500, 'Internal Server Error', String(err))
      })
    })
    await new Promise((done) => this.server.listen(0, '127.0.0.1', done))
    this.url = `http://127.0.0.1:${this.server.address().port}`
    this.heart = setInterval(() => {
      for (const res of this.streams) res.write(': heartbeat\n\n')
    }, 15_000)
    this.ticker = setInterval(() => this.tick(), 2_000)
    return this
  }

  async stop() {
    clearInterval(this.heart)
    clearInterval(this.ticker)
    this.server.closeAllConnections()
    await new Promise((done) => this.server.close(done))
  }

  async json(req, res, value, status = 200) {
    const body = gzipSync(JSON.stringify(value), { level: 1 })
    const path = req.url.split('?')[0]
    if (this.late.has(path)) this.held.push(path)
    await this.late.get(path)
    res.writeHead(status, { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip', 'Cache-Control': 'no-store' })
    res.end(body)
  }

  problem(res, status, title, detail) {
    res.writeHead(status, { 'Content-Type': 'application/problem+json' })
    res.end(JSON.stringify({ title, status, detail }))
  }

  async handle(req, res) {
    const url = new URL(req.url, 'http://fake')
    const path = url.pathname
    if (!path.startsWith('/api/')) return this.file(path, res)
    this.asked.push(url)
    await dawdle()
    for (const [prefix, status] of this.fail) if (path.startsWith(prefix)) return this.problem(res, status, 'Service Unavailable', '')
    let body = ''
    for await (const chunk of req) body += chunk
    const data = body ? JSON.parse(body) : {}
    if (path === '/api/v1/login') {
      if (data.user !== this.user || data.password !== this.password) return this.problem(res, 401, 'Unauthorized', 'user or password is wrong')
      const token = String(Math.random()).slice(2)
      this.signedIn.add(token)
      res.writeHead(204, { 'Set-Cookie': `session=${token}; HttpOnly; SameSite=Strict; Path=/` })
      return res.end()
    }
    if (path === this.endOn) {
      this.endOn = undefined
      this.signedIn.clear()
    }
    const token = /session=(\d+)/.exec(req.headers.cookie ?? '')?.[1]
    if (!this.signedIn.has(token)) return this.problem(res, 401, 'Unauthorized', 'log in first')
    const part = path.slice('/api/v1/'.length).split('/').map(decodeURIComponent)
    if (part[0] === 'logout') {
      this.signedIn.delete(token)
      res.writeHead(204)
      return res.end()
    }
    if (part[0] === 'me') return this.json(req, res, { user: this.user, role: this.role })
    if (part[0] === 'stream') return this.stream(req, res)
    if (part[0] === 'sheds' && !part[1]) return this.json(req, res, { sheds: [...this.sheds.keys()].map((id) => this.shed(id)) })
    if (part[0] === 'sheds') return this.shedPath(req, res, part, url, data)
    if (part[0] === 'notify') return this.notifyPath(req, res, part[1], url, data)
    if (part[0] === 'alarms') return this.alarmPath(req, res, part, url, data)
    this.problem(res, 404, 'Not Found', path)
  }

  shedPath(req, res, [, id, what, camera], url, data) {
    const s = this.sheds.get(id)
    if (!s) return this.problem(res, 404, 'Not Found', `shed ${id}`)
    if (req.method === 'PATCH') {
      Object.assign(s, data)
      this.publish('shed', this.shed(id))
      return this.json(req, res, this.shed(id))
    }
    if (what === 'cameras') {
      const all = this.cameras.get(id) ?? []
      if (!camera) return this.json(req, res, { cameras: all })
      const c = all.find((x) => x.camera === camera)
      if (!c?.snapshot || c.snapshot.id !== url.searchParams.get('id')) return this.problem(res, 404, 'Not Found', 'no such snapshot')
      return this.svg(res, `${camera} ${c.snapshot.received_at}`, false)
    }
    if (what === 'commands') return this.command(req, res, s, data)
    if (what === 'series') return this.series(req, res, url.searchParams)
    if (what === 'events') {
      const [events, next] = this.page(this.events.get(id) ?? [], url.searchParams, 50)
      return this.json(req, res, { events, next })
    }
    return this.json(req, res, { ...this.shed(id), live: [...this.live.get(id).values()], ...(this.feeders.has(id) && { feeder: this.feeders.get(id) }) })
  }

  command(req, res, s, { kind, args }) {
    this.log.push({ shed: s.shed, kind, args })
    if (s.state !== 'offline' && !this.commandStatus) this.given(s.shed, kind, args, this.user, { at: this.ago(0), ok: !this.refusal, code: this.refusal?.code }, 0)
    if (s.state === 'offline') return this.problem(res, 409, 'Conflict', 'gateway offline')
    if (this.commandStatus) return this.problem(res, this.commandStatus, 'Gateway Timeout', 'no reply')
    setTimeout(() => {
      const id = ulid(this.nextId++)
      if (this.refusal) return this.json(req, res, { id, ok: false, error: this.refusal })
      if (kind === 'snapshot') {
        setTimeout(() => this.snapshot(s.shed, args.camera, id), this.pictureDelay)
        return this.json(req, res, { id, ok: true, result: { evidence_id: id, camera: args.camera } })
      }
      const whole = this.whole(s, kind, args)
      if (whole) return this.json(req, res, { id, ...whole })
      this.outlet(s.shed, args.outlet, kind === 'stop' ? 'off' : kind === 'start' ? 'charging' : 'ready')
      this.publish('shed', this.shed(s.shed))
      if (kind === 'reset_trip') {
        for (const a of this.alarms) if (a.shed === s.shed && a.subject === `outlet/${args.outlet}` && a.state === 'open') this.clear(a)
      }
      this.json(req, res, { id, ok: true })
    }, this.commandDelay)
  }

  /** An order to the shed as a whole. */
  whole(s, kind, args) {
    if (kind === 'self_test') return { ok: true, result: this.selfTest(s) }
    if (kind === 'silence_siren') {
      this.says(s.shed, { siren: false })
      return { ok: true }
    }
    if (kind !== 'veto_suppression') return undefined
    const was = s.suppression
    if (args.reset ? ['armed', 'releasing'].includes(was.phase) : was.phase !== 'armed') return { ok: false, error: { code: 'not_permitted', text: `${args.reset ? 'reset suppression' : 'veto'}: it is ${was.phase}` } }
    this.says(s.shed, { suppression: args.reset ? this.suppression('idle', undefined, { by: this.user }) : { ...was, phase: 'vetoed', by: this.user, until: null } })
    this.event(s.shed, 'suppression.changed', { phase: s.suppression.phase, zone: s.suppression.zone, alarm_id: was.alarm_id, by: this.user, senses: args.reset ? null : ['flame_seen', 'smoke_contact'] }, 0, 'shed')
    return { ok: true, result: s.suppression }
  }

  /** A page as the real server cuts it: the cursor names the last entry, so that new ones shift nothing. */
  page(all, q, otherwise) {
    const key = (x) => String(x.num ?? x.id ?? x.alarm_id)
    const after = q.get('cursor')
    const from = after ? all.findIndex((x) => key(x) === after) + 1 : 0
    const some = all.slice(from, from + Number(q.get('limit') || otherwise))
    return [some, from + some.length < all.length ? key(some.at(-1)) : '']
  }

  notifyPath(req, res, what, url, data) {
    if (this.role !== 'admin') return this.problem(res, 403, 'Forbidden', 'your role may not read who is told of alarms')
    if (!what) return this.json(req, res, this.notify)
    if (what === 'deliveries') {
      const q = url.searchParams
      const fits = (d) => (!q.get('person') || d.person === q.get('person')) && (!q.get('alarm') || d.notices.some((n) => n.alarm_id === q.get('alarm')))
      const [deliveries, next] = this.page(this.deliveries.filter(fits), q, 50)
      return this.json(req, res, { deliveries, next })
    }
    if (![...this.notify.people, ...this.notify.channels].includes(data.name)) return this.problem(res, 404, 'Not Found', `notify: test "${data.name}": neither a person nor a channel`)
    const failed = this.testAnswer !== 204
    const channel = this.notify.channels.includes(data.name) ? data.name : 'wecom-duty'
    this.deliver(data.name, 'test', [], 0, [[channel, failed ? 'failed' : 'sent', this.testDetail.replace(/^notify: test: /, '')]], { state: failed ? 'failed' : 'sent', reason: this.testDetail.replace(/^notify: test: /, '') })
    if (failed) return this.problem(res, this.testAnswer, 'Bad Gateway', this.testDetail)
    res.writeHead(204)
    res.end()
  }

  alarmPath(req, res, [, id, what, n], url, data) {
    if (id === 'acknowledge') {
      this.log.push({ acknowledged: data.ids.length, comment: data.comment ?? '' })
      if (this.failAfter !== undefined && this.failAfter-- <= 0) return this.problem(res, 503, 'Service Unavailable', 'the book is away')
      for (const a of this.alarms) {
        if (!data.ids.includes(a.alarm_id) || a.acknowledged) continue
        a.acknowledged = { by: this.user, at: this.ago(0), comment: data.comment ?? '' }
        this.publish('alarm', a)
      }
      return this.json(req, res, { alarms: this.alarms.filter((a) => data.ids.includes(a.alarm_id)), missing: [] })
    }
    if (!id) {
      const q = url.searchParams
      const state = q.get('state') ?? 'all'
      const found = this.alarms
        .filter((a) => (state === 'all' || a.state === state) && (!q.get('shed') || a.shed === q.get('shed')) && (!q.get('severity') || a.severity === q.get('severity')))
        .filter((a) => (!q.get('subject') || a.subject === q.get('subject')) && (!q.get('to') || Date.parse(a.raised_at) <= Date.parse(q.get('to'))))
        .filter((a) => !q.get('from') || a.state === 'open' || Date.parse(a.cleared_at) >= Date.parse(q.get('from')))
        .sort((a, b) => (a.received_at < b.received_at ? 1 : -1))
      const from = Number(q.get('cursor') || 0)
      const limit = Number(q.get('limit') || 50)
      const next = from + limit < found.length ? String(from + limit) : ''
      return this.json(req, res, { alarms: found.slice(from, from + limit), next })
    }
    const a = this.alarms.find((x) => x.alarm_id === id)
    if (!a) return this.problem(res, 404, 'Not Found', `alarm ${id}`)
    if (what === 'evidence') {
      const p = a.pictures?.find((x) => x.n === Number(n))
      return p ? this.svg(res, `${a.subject} ${p.received_at}`, true) : this.problem(res, 404, 'Not Found', `evidence ${n}`)
    }
    if (what === 'acknowledge') {
      a.acknowledged = { by: this.user, at: this.ago(0), comment: data.comment ?? '' }
      this.publish('alarm', a)
      return this.json(req, res, a)
    }
    if (what === 'comment') {
      a.comments.push({ at: this.ago(0), type: 'comment', by: this.user, text: data.comment })
      this.publish('alarm', a)
      return this.json(req, res, {})
    }
    const event = (at, type, value) => ({ at, type, by: '', text: '', message: a.text, severity: type === 'cleared' ? 'cleared' : a.severity, value })
    const history = [event(a.raised_at, 'raised', a.value), event(new Date(Date.parse(a.raised_at) + 900).toISOString(), 'updated', a.value * 1.04), ...a.comments]
    if (a.acknowledged) history.push({ at: a.acknowledged.at, type: 'acknowledged', by: a.acknowledged.by, text: a.acknowledged.comment })
    if (a.cleared_at) history.push(event(a.cleared_at, 'cleared', 0))
    this.json(req, res, { ...a, history })
  }

  series(req, res, q) {
    const from = Date.parse(q.get('from'))
    const to = Date.parse(q.get('to'))
    const step = Math.max(10_000, Math.ceil((to - from) / Number(q.get('points')) / 10_000) * 10_000)
    const n = Number(q.get('outlet'))
    const tripped = Date.now() - 780_000
    const points = []
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
      const into = (t % 21_600_000) / 21_600_000 // one charge in six hours
      if (this.seriesGap && into > 0.42 && into < 0.46) continue
      let amps = into < 0.55 ? 1.62 + 0.05 * Math.sin(t / 90_000) : into < 0.8 ? 1.6 * Math.exp(-(into - 0.55) * 12) + 0.08 : 0.01
      if (n === 3) {
        if (t > tripped) amps = 0
        else if (t > tripped - 240_000) amps = 9 + ((t - tripped + 240_000) / 240_000) * 4.8
        else amps = 1.72 + 0.05 * Math.sin(t / 70_000)
      }
      const volts = 224 + 2.5 * Math.sin(t / 4_000_000) - amps * 0.4 + 0.6 * Math.sin(t / 47_000)
      const value = { amps, volts, watts: amps * volts * 0.96, celsius: 24 + amps * 4 + 2 * Math.sin(t / 9_000_000) }[q.get('field')]
      const wide = Math.abs(value) * (q.get('field') === 'volts' ? 0.004 : 0.06) * (1 + 0.5 * Math.sin(t / 33_000))
      points.push([t, value - wide, value, value + wide])
    }
    this.json(req, res, { from: q.get('from'), to: q.get('to'), step_ms: step, series: points.length ? [{ tags: { outlet: String(n) }, points }] : [] })
  }

  async stream(req, res) {
    await this.late.get('/api/v1/stream')
    if (this.refuseStreams) return res.destroy()
    res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
    res.write(`retry: 2000\nid: ${this.seq}\n\n`)
    const after = Number(req.headers['last-event-id'] ?? NaN)
    if (!Number.isNaN(after)) for (const c of this.ring) if (c.id > after) this.frame(res, c)
    this.streams.add(res)
    req.on('close', () => this.streams.delete(res))
  }

  async file(path, res) {
    let name = normalize(path).replace(/^\/+/, '')
    let body
    try {
      body = await readFile(join(dist, name || 'index.html'))
    } catch {
      if (extname(name)) return this.problem(res, 404, 'Not Found', path)
      name = 'index.html'
      body = await readFile(join(dist, name))
    }
    const headers = {
      'Content-Type': types[extname(name || 'index.html')] ?? 'application/octet-stream',
      'Content-Security-Policy': policy,
      'X-Content-Type-Options': 'nosniff',
    }
    if (/\.(js|css|html|svg|webmanifest)$/.test(name || 'index.html')) {
      body = gzipSync(body)
      headers['Content-Encoding'] = 'gzip'
    }
    res.writeHead(200, headers)
    res.end(body)
  }
}
