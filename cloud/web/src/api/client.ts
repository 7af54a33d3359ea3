import type {
  Alarm,
  AlarmDetail,
  AlarmFilter,
  AlarmPage,
  Camera,
  CommandKind,
  DeliveryPage,
  EventPage,
  Field,
  Me,
  NotifySetup,
  Reply,
  SeriesAnswer,
  Shed,
  ShedCommandKind,
  StartLimits,
} from './types'

/** How long an ordinary request may take, in ms. A command waits for the gateway and gets more. */
const requestTimeout = 15_000
const commandTimeout = 20_000
/** A test message is tried over every channel of a person; the server gives it 20 s. */
const testTimeout = 30_000
/** How many alarms one request acknowledges. */
export const acknowledgedAtOnce = 100

/**
 * What went wrong with a request. `status` is the HTTP status, or 0 when no answer came:
 * `kind` then says whether the server could not be reached or took too long.
 */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly kind: 'http' | 'network' | 'timeout' | 'garbled',
    readonly title: string,
    readonly detail: string,
  ) {
    super(detail || title || `HTTP ${status}`)
    this.name = 'ApiError'
  }
}

type Fetch = typeof fetch

export class Client {
  /** Server time minus local time in ms, from the Date header; whole seconds, so only a gross difference counts. */
  clockOffset = 0
  onUnauthorized: () => void = () => {}

  constructor(private readonly fetch: Fetch = (input, init) => globalThis.fetch(input, init)) {}

  now(): number {
    return Date.now() + this.clockOffset
  }

  login(user: string, password: string): Promise<void> {
    return this.send<void>('POST', '/api/v1/login', { body: { user, password }, quiet401: true })
  }

  logout(): Promise<void> {
    return this.send<void>('POST', '/api/v1/logout', { quiet401: true })
  }

  me(): Promise<Me> {
    return this.send<Me>('GET', '/api/v1/me', { quiet401: true })
  }

  async sheds(): Promise<Shed[]> {
    return (await this.send<{ sheds: Shed[] | null }>('GET', '/api/v1/sheds')).sheds ?? []
  }

  shed(shed: string, signal?: AbortSignal): Promise<Shed> {
    return this.send<Shed>('GET', `/api/v1/sheds/${encodeURIComponent(shed)}`, { signal })
  }

  async cameras(shed: string, signal?: AbortSignal): Promise<Camera[]> {
    return (await this.send<{ cameras: Camera[] | null }>('GET', `/api/v1/sheds/${encodeURIComponent(shed)}/cameras`, { signal })).cameras ?? []
  }

  /** Asks a camera for a picture; it comes later, as news of the stream. */
  snapshot(shed: string, camera: string): Promise<Reply> {
    return this.order(shed, 'snapshot', { camera })
  }

  describeShed(shed: string, to: { name?: string; place?: string }): Promise<void> {
    return this.send<void>('PATCH', `/api/v1/sheds/${encodeURIComponent(shed)}`, { body: to })
  }

  alarms(filter: AlarmFilter, cursor = '', limit = 100, signal?: AbortSignal): Promise<AlarmPage> {
    return this.send<AlarmPage>('GET', '/api/v1/alarms' + query({ ...filter, cursor, limit }), { signal })
  }

  alarm(id: string, signal?: AbortSignal): Promise<AlarmDetail> {
    return this.send<AlarmDetail>('GET', `/api/v1/alarms/${encodeURIComponent(id)}`, { signal })
  }

  acknowledge(id: string, comment: string): Promise<Alarm> {
    const body = comment ? { comment } : {}
    return this.send<Alarm>('POST', `/api/v1/alarms/${encodeURIComponent(id)}/acknowledge`, { body })
  }

  /** Acknowledges many, some at a time; done counts on, so that a failure says how far it came. */
  async acknowledgeAll(ids: string[], comment: string, done: (n: number) => void = () => {}): Promise<void> {
    for (let i = 0; i < ids.length; i += acknowledgedAtOnce) {
      const some = ids.slice(i, i + acknowledgedAtOnce)
      await this.send<unknown>('POST', '/api/v1/alarms/acknowledge', { body: { ids: some, ...(comment && { comment }) } })
      done(i + some.length)
    }
  }

  comment(id: string, comment: string): Promise<void> {
    return this.send<void>('POST', `/api/v1/alarms/${encodeURIComponent(id)}/comment`, { body: { comment } })
  }

  events(shed: string, cursor = '', limit = 20, signal?: AbortSignal): Promise<EventPage> {
    return this.send<EventPage>('GET', `/api/v1/sheds/${encodeURIComponent(shed)}/events${query({ cursor, limit })}`, { signal })
  }

  notify(signal?: AbortSignal): Promise<NotifySetup> {
    return this.send<NotifySetup>('GET', '/api/v1/notify', { signal })
  }

  notifyTest(name: string): Promise<void> {
    return this.send<void>('POST', '/api/v1/notify/test', { body: { name }, timeout: testTimeout })
  }

  deliveries(filter: { alarm?: string; person?: string }, cursor = '', limit = 25, signal?: AbortSignal): Promise<DeliveryPage> {
    return this.send<DeliveryPage>('GET', '/api/v1/notify/deliveries' + query({ ...filter, cursor, limit }), { signal })
  }

  command(shed: string, kind: CommandKind, args: { outlet: number } & StartLimits): Promise<Reply> {
    return this.order(shed, kind, args)
  }

  /** An order to the shed as a whole. */
  shedCommand(shed: string, kind: ShedCommandKind, args?: { reset?: true }): Promise<Reply> {
    return this.order(shed, kind, args)
  }

  private order(shed: string, kind: string, args?: object): Promise<Reply> {
    const path = `/api/v1/sheds/${encodeURIComponent(shed)}/commands`
    return this.send<Reply>('POST', path, { body: { kind, args }, timeout: commandTimeout })
  }

  series(
    shed: string,
    outlet: number,
    field: Field,
    from: Date,
    to: Date,
    points: number,
    signal?: AbortSignal,
  ): Promise<SeriesAnswer> {
    const q = query({
      measurement: 'outlet',
      field,
      outlet,
      from: from.toISOString(),
      to: to.toISOString(),
      points,
    })
    return this.send<SeriesAnswer>('GET', `/api/v1/sheds/${encodeURIComponent(shed)}/series${q}`, { signal })
  }

  private async send<T>(
    method: string,
    path: string,
    opts: { body?: unknown; timeout?: number; signal?: AbortSignal; quiet401?: boolean } = {},
  ): Promise<T> {
    const timeout = AbortSignal.timeout(opts.timeout ?? requestTimeout)
    const signal = opts.signal ? AbortSignal.any([opts.signal, timeout]) : timeout
    const headers: Record<string, string> = { Accept: 'application/json' }
    if (opts.body !== undefined) headers['Content-Type'] = 'application/json'
    let text: string
    let res: Response
    try {
      res = await this.fetch(path, {
        method,
        headers,
        body: opts.body === undefined ? undefined : JSON.stringify(opts.body),
        credentials: 'same-origin',
        signal,
      })
      text = await res.text()
    } catch (err) {
      if (opts.signal?.aborted) throw err
      if (timeout.aborted) throw new ApiError(0, 'timeout', '', '')
      throw new ApiError(0, 'network', '', err instanceof Error ? err.message : '')
    }
    this.learnClock(res)
    if (!res.ok) {
      if (res.status === 401 && !opts.quiet401) this.onUnauthorized()
      throw problem(res.status, text)
    }
    if (text === '') return undefined as T
    try {
      return JSON.parse(text) as T
    } catch {
      throw new ApiError(res.status, 'garbled', '', '')
    }
  }

  private learnClock(res: Response): void {
    const at = Date.parse(res.headers.get('Date') ?? '')
    if (Number.isNaN(at)) return
    const offset = at + 500 - Date.now()
    this.clockOffset = Math.abs(offset) > 3000 ? offset : 0
  }
}

/** Reads RFC 9457 problem details; any other body is ignored, the status alone then speaks. */
export function problem(status: number, text: string): ApiError {
  try {
    const p = JSON.parse(text) as { title?: unknown; detail?: unknown; errors?: { message?: unknown }[] }
    const more = (p.errors ?? []).map((e) => e.message).filter((m): m is string => typeof m === 'string')
    const detail = [typeof p.detail === 'string' ? p.detail : '', ...more].filter(Boolean).join(': ')
    return new ApiError(status, 'http', typeof p.title === 'string' ? p.title : '', detail)
  } catch {
    return new ApiError(status, 'http', '', '')
  }
}

/** A query string of the members that have a value. */
export function query(params: Record<string, string | number | undefined>): string {
  const q = new URLSearchParams()
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined && value !== '') q.set(key, String(value))
  }
  const s = q.toString()
  return s ? '?' + s : ''
}

/** Where the picture of a snapshot is; with its id, so that another one is never taken for it. */
export function snapshotUrl(shed: string, s: { camera: string; id: string }): string {
  return `/api/v1/sheds/${encodeURIComponent(shed)}/cameras/${encodeURIComponent(s.camera)}/snapshot${query({ id: s.id })}`
}

export function pictureUrl(alarm: string, n: number): string {
  return `/api/v1/alarms/${encodeURIComponent(alarm)}/evidence/${n}`
}

export const api = new Client()
