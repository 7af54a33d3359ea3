// A reader of server-sent events over fetch. Unlike EventSource it sees the
// server's heartbeat comments, so that a dead connection is noticed even when
// nothing happens in the sheds, and it sees a 401.

export interface Message {
  event: string
  data: string
  id: string
}

/** Splits a stream of text into messages; `onComment` is told of heartbeats. */
export class Parser {
  private buffer = ''
  private event = ''
  private data: string[] = []
  private id: string | undefined
  /** The id of the last message that was complete; an id alone counts as one. */
  lastId = ''

  constructor(
    private readonly onMessage: (m: Message) => void,
    private readonly onComment: () => void = () => {},
  ) {}

  push(chunk: string): void {
    this.buffer += chunk
    for (;;) {
      const end = /\r\n|\n|\r(?=[^\n])/.exec(this.buffer)
      if (!end) return
      const line = this.buffer.slice(0, end.index)
      this.buffer = this.buffer.slice(end.index + end[0].length)
      this.line(line)
    }
  }

  private line(line: string): void {
    if (line === '') return this.dispatch()
    if (line.startsWith(':')) return this.onComment()
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    let value = colon < 0 ? '' : line.slice(colon + 1)
    if (value.startsWith(' ')) value = value.slice(1)
    if (field === 'event') this.event = value
    else if (field === 'data') this.data.push(value)
    else if (field === 'id' && !value.includes('\0')) this.id = value
  }

  private dispatch(): void {
    const { event, data } = this
    this.lastId = this.id ?? this.lastId
    this.event = ''
    this.data = []
    this.id = undefined
    if (data.length === 0 && event === '') return
    this.onMessage({ event: event || 'message', data: data.join('\n'), id: this.lastId })
  }
}

export interface StreamHandlers {
  /** The server answered; `resumed` says whether it was asked to go on after a known id. */
  open(resumed: boolean): void
  message(m: Message): void
  /** Anything arrived, a heartbeat too. */
  heard(): void
  lost(): void
  unauthorized(): void
}

/** Silence after which a connection is taken for dead, in ms: two missed heartbeats and a little. */
export const silenceLimit = 35_000
/** How long a healthy stream may be away before it is called lost, in ms. */
export const graceLimit = 2_000
const firstRetry = 1_000
const longestRetry = 20_000

/** Keeps one stream open until closed: resumes by Last-Event-ID, backs off with jitter. */
export class Stream {
  private lastId = ''
  private attempt: AbortController | undefined
  private watchdog: ReturnType<typeof setTimeout> | undefined
  private retry: ReturnType<typeof setTimeout> | undefined
  private overdue: ReturnType<typeof setTimeout> | undefined
  private failures = 0
  private heard = false
  private closed = false

  constructor(
    private readonly url: string,
    private readonly on: StreamHandlers,
    private readonly fetch: typeof globalThis.fetch = (i, o) => globalThis.fetch(i, o),
    private readonly random: () => number = Math.random,
  ) {}

  start(): void {
    this.closed = false
    void this.connect()
  }

  close(): void {
    this.closed = true
    clearTimeout(this.retry)
    clearTimeout(this.watchdog)
    clearTimeout(this.overdue)
    this.attempt?.abort()
  }

  /** Tries again at once, for when the device says that it is back on the network. */
  nudge(): void {
    if (this.closed || this.retry === undefined) return
    clearTimeout(this.retry)
    this.retry = undefined
    void this.connect()
  }

  private async connect(): Promise<void> {
    const attempt = new AbortController()
    this.attempt = attempt
    this.heard = false
    this.watch(attempt)
    try {
      const headers: Record<string, string> = { Accept: 'text/event-stream' }
      if (this.lastId) headers['Last-Event-ID'] = this.lastId
      const res = await this.fetch(this.url, {
        headers,
        credentials: 'same-origin',
        cache: 'no-store',
        signal: attempt.signal,
      })
      if (res.status === 401) {
        this.close()
        this.on.unauthorized()
        return
      }
      if (!res.ok || !res.body) throw new Error(`stream: HTTP ${res.status}`)
      clearTimeout(this.overdue)
      this.on.open(this.lastId !== '')
      await this.read(res.body, attempt)
    } catch {
      // Every end of a connection is handled alike below; the banner tells the person.
    }
    clearTimeout(this.watchdog)
    if (this.closed || this.attempt !== attempt) return
    // A server may end a healthy stream on purpose. The first new try is made soon and
    // without a word; only when it does not succeed at once is the connection lost.
    const silent = attempt.signal.aborted
    attempt.abort()
    clearTimeout(this.overdue)
    if (this.heard && !silent) this.overdue = setTimeout(() => this.on.lost(), graceLimit)
    else this.on.lost()
    const longest = Math.min(longestRetry, firstRetry * 2 ** this.failures)
    const pause = (this.heard ? graceLimit / 4 : longest) * (0.5 + this.random() / 2)
    this.failures = Math.min(this.failures + 1, 10)
    this.retry = setTimeout(() => {
      this.retry = undefined
      void this.connect()
    }, pause)
  }

  private async read(body: ReadableStream<Uint8Array>, attempt: AbortController): Promise<void> {
    const parser = new Parser((m) => this.on.message(m))
    parser.lastId = this.lastId
    const reader = body.getReader()
    const decoder = new TextDecoder()
    for (;;) {
      const { value, done } = await reader.read()
      if (done || attempt.signal.aborted) return
      this.failures = 0
      this.heard = true
      this.watch(attempt)
      this.on.heard()
      parser.push(decoder.decode(value, { stream: true }))
      this.lastId = parser.lastId
    }
  }

  private watch(attempt: AbortController): void {
    clearTimeout(this.watchdog)
    this.watchdog = setTimeout(() => attempt.abort(), silenceLimit)
  }
}
