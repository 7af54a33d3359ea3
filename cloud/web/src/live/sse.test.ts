import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Parser, Stream, graceLimit, silenceLimit, type Message } from './sse'

function parse(chunks: string[]) {
  const messages: Message[] = []
  let comments = 0
  const p = new Parser((m) => messages.push(m), () => comments++)
  for (const c of chunks) p.push(c)
  return { messages, comments, lastId: p.lastId }
}

describe('Parser', () => {
  const text = ': hello\n\nid: 7\nevent: alarm\ndata: {"a":1}\n\ndata:two\ndata: lines\n\nid: 9\nevent: reset\ndata:\n\n'
  const want = [
    { event: 'alarm', data: '{"a":1}', id: '7' },
    { event: 'message', data: 'two\nlines', id: '7' },
    { event: 'reset', data: '', id: '9' },
  ]
  it('reads messages, ids and comments', () => {
    expect(parse([text])).toEqual({ messages: want, comments: 1, lastId: '9' })
  })
  it('gives the same wherever the stream is cut', () => {
    for (let cut = 0; cut <= text.length; cut++) {
      expect(parse([text.slice(0, cut), text.slice(cut)]).messages, `cut at ${cut}`).toEqual(want)
    }
    expect(parse([...text]).messages).toEqual(want)
  })
  it('reads other line ends', () => {
    expect(parse([...text.replaceAll('\n', '\r\n')]).messages).toEqual(want)
  })
  it('waits for the end of a message', () => {
    expect(parse(['event: alarm\ndata: x\n']).messages).toEqual([])
  })
})

const stuck: typeof fetch = () => new Promise(() => {})

class Server {
  calls: { lastId: string | null; body: ReadableStreamDefaultController<Uint8Array> }[] = []
  status = 200
  fetch: typeof fetch = async (_input, init) => {
    let body!: ReadableStreamDefaultController<Uint8Array>
    const stream = new ReadableStream<Uint8Array>({ start: (c) => void (body = c) })
    init?.signal?.addEventListener('abort', () => {
      try {
        body.error(new DOMException('aborted', 'AbortError'))
      } catch {
        // The test had closed it.
      }
    })
    this.calls.push({ lastId: new Headers(init?.headers).get('Last-Event-ID'), body })
    return new Response(this.status === 200 ? stream : null, { status: this.status })
  }
  send(text: string) {
    this.calls.at(-1)!.body.enqueue(new TextEncoder().encode(text))
  }
  end() {
    this.calls.at(-1)!.body.close()
  }
}

describe('Stream', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  function start(server: Server) {
    const on = { open: vi.fn(), message: vi.fn(), heard: vi.fn(), lost: vi.fn(), unauthorized: vi.fn() }
    const stream = new Stream('/s', on, (i, o) => server.fetch(i, o), () => 1)
    stream.start()
    return { on, stream }
  }
  const settle = () => vi.advanceTimersByTimeAsync(0)

  it('goes on after the last id that it saw, without a word when the server ended the stream', async () => {
    const server = new Server()
    const { on, stream } = start(server)
    await settle()
    expect(on.open).toHaveBeenLastCalledWith(false)
    server.send('id: 41\nevent: shed\ndata: {}\n\nid: 42\nevent: shed\ndata: cut o')
    await settle()
    server.end()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(server.calls.map((c) => c.lastId)).toEqual([null, '41'])
    expect(on.open).toHaveBeenLastCalledWith(true)
    await vi.advanceTimersByTimeAsync(graceLimit)
    expect(on.lost).not.toHaveBeenCalled()
    stream.close()
  })

  it('takes an id alone as a place to go on from', async () => {
    const server = new Server()
    const { stream } = start(server)
    await settle()
    server.send('retry: 2000\nid: 7\n\n')
    await settle()
    server.end()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(server.calls.map((c) => c.lastId)).toEqual([null, '7'])
    stream.close()
  })

  it('says that the connection is lost when the next try fails, or does not answer', async () => {
    for (const fail of [true, false]) {
      const server = new Server()
      const { on, stream } = start(server)
      await settle()
      server.send(': hello\n\n')
      await settle()
      if (fail) server.status = 503
      else server.fetch = stuck
      server.end()
      await vi.advanceTimersByTimeAsync(graceLimit)
      expect(on.lost, String(fail)).toHaveBeenCalled()
      stream.close()
    }
  })

  it('takes silence for a dead connection, a heartbeat for a live one', async () => {
    const server = new Server()
    const { on, stream } = start(server)
    await settle()
    for (let i = 0; i < 5; i++) {
      await vi.advanceTimersByTimeAsync(silenceLimit - 1)
      server.send(': heartbeat\n\n')
      await settle()
    }
    expect(on.lost).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(silenceLimit)
    expect(on.lost).toHaveBeenCalledOnce()
    stream.close()
  })

  it('waits longer from try to try, and at once when nudged', async () => {
    const server = new Server()
    server.status = 503
    const { stream } = start(server)
    await settle()
    await vi.advanceTimersByTimeAsync(999)
    expect(server.calls).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(server.calls).toHaveLength(2)
    await vi.advanceTimersByTimeAsync(1_999)
    expect(server.calls).toHaveLength(2)
    stream.nudge()
    await settle()
    expect(server.calls).toHaveLength(3)
    await vi.advanceTimersByTimeAsync(10 * 60_000)
    expect(server.calls.length).toBeGreaterThan(25)
    expect(server.calls.length).toBeLessThan(40)
    stream.close()
  })

  it('ends for good when the session has ended or it is closed', async () => {
    const server = new Server()
    server.status = 401
    const { on } = start(server)
    await vi.advanceTimersByTimeAsync(120_000)
    expect(on.unauthorized).toHaveBeenCalledOnce()
    expect(server.calls).toHaveLength(1)
    expect(on.lost).not.toHaveBeenCalled()

    const other = new Server()
    const second = start(other)
    await settle()
    second.stream.close()
    await vi.advanceTimersByTimeAsync(120_000)
    expect(other.calls).toHaveLength(1)
    expect(second.on.lost).not.toHaveBeenCalled()
  })
})
