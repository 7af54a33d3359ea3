// The shapes of /api/v1. Instants are RFC 3339 in UTC; units are V, A, W, Wh, °C.

export const severities = ['critical', 'major', 'minor', 'warning'] as const
export type Severity = (typeof severities)[number] | 'cleared'

export const outletStates = ['unknown', 'off', 'ready', 'charging', 'full', 'suspended', 'tripped', 'fault'] as const
export type OutletState = (typeof outletStates)[number]

export type GatewayState = 'online' | 'offline' | 'silent' | 'stopped' | 'unknown'
export type Quality = 'good' | 'suspect' | 'stale' | 'fault'
export type Clock = 'synced' | 'holdover' | 'unsynced'

export interface Me {
  user: string
  role: string
}

export interface OutletSummary {
  outlet: number
  state: OutletState
  quality: Quality
  latched?: string[] | null
}

export interface Live {
  outlet: number
  state?: OutletState
  quality?: Quality
  volts?: number | null
  amps?: number | null
  watts?: number | null
  pf?: number | null
  celsius?: number | null
  energy_wh?: number | null
  at?: string | null
}

/** What a phase of a newer gateway is called is not known here: it comes as any other word. */
export const suppressionPhases = ['idle', 'armed', 'vetoed', 'releasing', 'released', 'unknown'] as const
export type SuppressionPhase = (typeof suppressionPhases)[number]

/** How far the output of a suppression agent is. */
export interface Suppression {
  phase: SuppressionPhase
  zone?: string
  alarm_id?: string
  /** Who vetoed it or made it ready. */
  by?: string
  /** The end of the veto window (armed) or of the release (releasing), by the gateway's clock. */
  until?: string | null
}

/** The supply that all outlets share. */
export interface Feeder {
  watts: number
  /** With what is kept for sessions that are not fed at the moment. */
  committed_watts: number
  /** From here on nothing new begins. */
  soft_watts: number
  /** Above, the youngest session is switched off. */
  hard_watts: number
  refusing: boolean
  /** Outlets that wait for room. */
  waiting: number
  /** Outlets that were switched off. */
  shed: number
  at: string
}

export interface Shed {
  shed: string
  name: string
  place: string
  state: GatewayState
  since?: string | null
  last_seen?: string | null
  version: string
  clock: Clock | ''
  boot_id: string
  outlets?: OutletSummary[] | null
  open_alarms: number
  worst: Severity | ''
  live?: Live[] | null
  // The following are absent where the collector is older than this page.
  siren?: boolean
  /** Null where none is enabled. */
  suppression?: Suppression | null
  /** Only of one shed; null when nothing was heard of its feeder lately. */
  feeder?: Feeder | null
}

export interface Text {
  zh: string
  en: string
}

export interface Acknowledged {
  by: string
  at: string
  comment?: string
}

export interface Alarm {
  alarm_id: string
  shed: string
  shed_name: string
  subject: string
  cause: string
  /** What of the cause was seen, as "picture_covered". */
  detail?: string
  severity: Severity
  level: number
  grade?: string
  state: 'open' | 'cleared'
  raised_at: string
  since?: string | null
  cleared_at?: string | null
  received_at: string
  value: number
  limit: number
  unit: string
  action: string
  latched: boolean
  picture_count?: number
  text: Text
  acknowledged?: Acknowledged | null
}

export interface HistoryEntry {
  at: string
  type: string
  by?: string
  /** What a person wrote; empty for an event, which has a message instead. */
  text?: string
  message?: Text | null
  severity?: Severity | ''
  value?: number | null
}

/** One picture of an alarm that is kept. */
export interface Picture {
  n: number
  received_at: string
  bytes: number
}

export interface AlarmDetail extends Alarm {
  pictures?: Picture[] | null
  history?: HistoryEntry[] | null
}

export interface AlarmPage {
  alarms: Alarm[] | null
  next?: string | null
}

export interface AlarmFilter {
  state: 'open' | 'cleared' | 'all'
  shed?: string
  severity?: string
  /** What the alarm is about, as "outlet/3". */
  subject?: string
  /** Only alarms that stood at some time in this range. */
  from?: string
  to?: string
}

export interface NotifySetup {
  on: boolean
  people: string[] | null
  channels: string[] | null
}

export const deliveryStates = ['pending', 'sent', 'failed', 'withdrawn'] as const
export type DeliveryState = (typeof deliveryStates)[number]

export const noticeKinds = ['raised', 'escalated', 'reminder', 'worse', 'cleared', 'summary', 'test'] as const
export type NoticeKind = (typeof noticeKinds)[number]

export interface Notice {
  alarm_id: string
  kind: NoticeKind
  /** Counts reminders. */
  round: number
  severity: Severity
  shed: string
  subject: string
  cause: string
}

export interface Attempt {
  num: number
  at: string
  channel: string
  result: 'begun' | 'sent' | 'failed'
  error: string
  took_ms: number
}

/** One message to one person, with every attempt to send it. */
export interface Delivery {
  num: number
  id: string
  person: string
  kind: NoticeKind
  created_at: string
  state: DeliveryState
  reason: string
  channel: string
  attempts: number
  next_at?: string | null
  done_at?: string | null
  notices?: Notice[] | null
  log?: Attempt[] | null
}

export interface DeliveryPage {
  deliveries: Delivery[] | null
  next?: string | null
}

/** One entry of a shed's log: an event of its gateway, or a command that was given here. */
export interface ShedEvent {
  id: string
  at: string
  /** "command", or an event's type without its first word: "relay.operated". */
  type: string
  subject?: string
  /** Of a command. */
  kind?: string
  by?: string
  /** Of the event; the arguments of a command. */
  data?: Record<string, unknown> | null
  /** Of a command; absent until the gateway has answered. */
  reply?: { at: string; ok: boolean; code?: string; text?: string } | null
}

export interface EventPage {
  events: ShedEvent[] | null
  next?: string | null
}

/** News of a picture of an alarm, and how many it has with that one. */
export interface AlarmPicture extends Picture {
  shed: string
  alarm_id: string
  picture_count: number
}

export type CameraState = 'sees' | 'blind' | 'lost' | 'unknown'

/** The last picture that somebody asked of a camera. */
export interface Snapshot {
  camera: string
  id: string
  received_at: string
  bytes: number
}

export interface Camera {
  camera: string
  state: CameraState
  detail: string
  fps?: number
  flame?: number
  smoke?: number
  shadow: boolean
  at?: string | null
  alarms?: Alarm[] | null
  snapshot?: Snapshot | null
}

export type CommandKind = 'start' | 'stop' | 'reset_trip'

/** Orders to a shed as a whole. */
export type ShedCommandKind = 'silence_siren' | 'veto_suppression' | 'self_test'

export interface SelfTestCheck {
  /** "relays", "outlet/3/meter". */
  name: string
  ok: boolean
  detail?: string
}

export interface StartLimits {
  max_minutes?: number
  max_wh?: number
  max_watts?: number
}

export interface Reply {
  id: string
  ok: boolean
  error?: { code: string; text: string } | null
  result?: unknown
}

/** One bucket of a series: time in ms, then the least, mean and greatest value in it. */
export type Bucket = [number, number, number, number]

export interface SeriesAnswer {
  from: string
  to: string
  step_ms: number
  series: { tags: Record<string, string>; points: Bucket[] | null }[] | null
}

export const fields = ['watts', 'amps', 'volts', 'celsius'] as const
export type Field = (typeof fields)[number]

/** The outlet number of an alarm's subject, or 0 when it is about something else. */
export function subjectOutlet(subject: string): number {
  const m = /^outlet\/([1-9]\d{0,2})$/.exec(subject)
  return m ? Number(m[1]) : 0
}
