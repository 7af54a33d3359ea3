import { describe, expect, it, vi } from 'vitest'
import { ApiError, Client, problem, query, acknowledgedAtOnce } from './client'
import { subjectOutlet } from './types'

function answering(status: number, body: string, headers: Record<string, string> = {}) {
  return vi.fn<typeof fetch>(async () => new Response(status === 204 ? null : body, { status, headers }))
}

describe('Client', () => {
  it('asks for alarms with the filter that was set and nothing else', async () => {
    const fetch = answering(200, '{"alarms":[],"next":null}')
    await new Client(fetch).alarms({ state: 'open', shed: '', severity: 'major' }, 'c=1&x', 100)
    expect(fetch.mock.calls[0]![0]).toBe('/api/v1/alarms?state=open&severity=major&cursor=c%3D1%26x&limit=100')
  })

  it('sends an order with its arguments and keeps ids out of the path syntax', async () => {
    const fetch = answering(200, '{"id":"X","ok":true}')
    const reply = await new Client(fetch).command('a/b', 'start', { outlet: 3, max_wh: 500 })
    expect(reply.ok).toBe(true)
    const [path, init] = fetch.mock.calls[0]!
    expect(path).toBe('/api/v1/sheds/a%2Fb/commands')
    expect(JSON.parse(String(init!.body))).toEqual({ kind: 'start', args: { outlet: 3, max_wh: 500 } })
    expect(init!.credentials).toBe('same-origin')
  })

  it.each([
    ['silence_siren', undefined, { kind: 'silence_siren' }],
    ['veto_suppression', {}, { kind: 'veto_suppression', args: {} }],
    ['veto_suppression', { reset: true }, { kind: 'veto_suppression', args: { reset: true } }],
    ['self_test', undefined, { kind: 'self_test' }],
  ] as const)('orders a whole shed: %s %o', async (kind, args, body) => {
    const fetch = vi.fn(answering(200, '{"id":"1","ok":true}'))
    await new Client(fetch).shedCommand('a/b', kind, args)
    const [path, init] = fetch.mock.calls[0]!
    expect(path).toBe('/api/v1/sheds/a%2Fb/commands')
    expect(JSON.parse(String(init!.body))).toEqual(body)
  })

  it('gives nothing for 204 and lists for null', async () => {
    await expect(new Client(answering(204, '')).login('a', 'b')).resolves.toBeUndefined()
    await expect(new Client(answering(200, '{"sheds":null}')).sheds()).resolves.toEqual([])
  })

  const failures: Record<string, { fetch: typeof fetch; status: number; kind: ApiError['kind'] }> = {
    'problem details': {
      fetch: answering(409, '{"title":"Conflict","detail":"gateway offline"}'),
      status: 409,
      kind: 'http',
    },
    'an answer that is not JSON': { fetch: answering(200, '<html>'), status: 200, kind: 'garbled' },
    'no server': { fetch: () => Promise.reject(new TypeError('fetch failed')), status: 0, kind: 'network' },
  }
  for (const [name, f] of Object.entries(failures)) {
    it(`tells ${name} apart`, async () => {
      const err = await new Client(f.fetch).sheds().catch((e: unknown) => e)
      expect(err).toBeInstanceOf(ApiError)
      expect(err).toMatchObject({ status: f.status, kind: f.kind })
    })
  }

  it('gives up on a server that never answers', async () => {
    vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => AbortSignal.abort(new DOMException('t', 'TimeoutError')))
    const never: typeof fetch = (_i, o) => (o!.signal!.aborted ? Promise.reject(o!.signal!.reason) : new Promise(() => {}))
    const err = await new Client(never).sheds().catch((e: unknown) => e)
    vi.restoreAllMocks()
    expect(err).toMatchObject({ kind: 'timeout' })
  })

  it('lets a caller who left abort without an error of ours', async () => {
    const left = AbortSignal.abort()
    const aborts: typeof fetch = (_i, o) => Promise.reject(o!.signal!.reason)
    const err = await new Client(aborts).shed('s', left).catch((e: unknown) => e)
    expect(err).not.toBeInstanceOf(ApiError)
  })

  it('reports a session that ended, but not a refused login', async () => {
    const client = new Client(answering(401, ''))
    client.onUnauthorized = vi.fn()
    await client.login('a', 'b').catch(() => {})
    await client.me().catch(() => {})
    expect(client.onUnauthorized).not.toHaveBeenCalled()
    await client.sheds().catch(() => {})
    expect(client.onUnauthorized).toHaveBeenCalledOnce()
  })

  it('acknowledges many in parts and says how far it came', async () => {
    const ids = Array.from({ length: acknowledgedAtOnce * 2 + 1 }, (_, i) => `A${i}`)
    const sent: { ids: string[]; comment?: string }[] = []
    let left = 2
    const client = new Client(async (_path, init) => {
      if (left-- === 0) return new Response('{"detail":"the book is away"}', { status: 503 })
      sent.push(JSON.parse(String(init?.body)))
      return new Response('{}', { status: 200 })
    })
    const came: number[] = []
    await expect(client.acknowledgeAll(ids, 'seen', (n) => came.push(n))).rejects.toMatchObject({ status: 503 })
    expect(came).toEqual([acknowledgedAtOnce, acknowledgedAtOnce * 2])
    expect(sent.flatMap((s) => s.ids)).toEqual(ids.slice(0, acknowledgedAtOnce * 2))
    expect(sent[0]?.comment).toBe('seen')
  })

  it('follows the server clock when this device is wrong by more than seconds', async () => {
    const hour = 3_600_000
    const ahead = new Client(answering(200, '{}', { Date: new Date(Date.now() + hour).toUTCString() }))
    await ahead.me()
    expect(Math.abs(ahead.now() - Date.now() - hour)).toBeLessThan(2_000)
    const right = new Client(answering(200, '{}', { Date: new Date().toUTCString() }))
    await right.me()
    expect(right.clockOffset).toBe(0)
  })
})

describe('problem', () => {
  it('joins the detail with the faults of huma', () => {
    const err = problem(422, '{"title":"Unprocessable Entity","detail":"validation failed","errors":[{"message":"limit: want 1 to 500"}]}')
    expect(err.detail).toBe('validation failed: limit: want 1 to 500')
  })
  it('lives without a body', () => {
    expect(problem(502, 'Bad Gateway')).toMatchObject({ status: 502, detail: '' })
  })
})

it('query leaves out what is empty and keeps zero', () => {
  expect(query({ a: '', b: undefined, c: 0, d: 'x y' })).toBe('?c=0&d=x+y')
  expect(query({})).toBe('')
})

it('subjectOutlet reads outlets only', () => {
  for (const [s, n] of Object.entries({ 'outlet/3': 3, 'outlet/256': 256, 'outlet/03': 0, 'outlet/': 0, 'bus/main': 0, 'outlet/1/x': 0 })) {
    expect(subjectOutlet(s), s).toBe(n)
  }
})
