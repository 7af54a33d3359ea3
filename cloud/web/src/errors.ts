import { ApiError } from './api/client'

type Translate = (key: string, named?: Record<string, unknown>) => string

/** An error in words for people: our own sentence first, then what the server said about it. */
export function errorText(err: unknown, t: Translate): string {
  if (!(err instanceof ApiError)) return err instanceof Error ? err.message : String(err)
  if (err.kind !== 'http') return t(`errors.${err.kind}`)
  let text: string
  if ([401, 403, 404, 409, 422, 429].includes(err.status)) text = t(`errors.s${err.status}`)
  else if (err.status >= 500) text = t('errors.s5xx', { status: err.status })
  else text = t('errors.other', { status: err.status })
  return err.detail ? `${text} (${err.detail})` : text
}
