// The page in a real browser against the fake server. Every test ends by checking
// that nothing was logged as an error, the content security policy included.

import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { launch } from './browser.js'
import { Fake } from './fake.js'
import { App, desktop, narrow, phone } from './pages.js'

let browser
let fake
let app
before(async () => {
  browser = await launch()
})
after(() => browser.close())
beforeEach(async () => {
  fake = await new Fake().start()
  app = undefined
})
afterEach(async () => {
  try {
    await app?.close()
  } finally {
    await fake.stop()
  }
  assert.deepEqual(fake.log.filter((l) => l instanceof Error), [], 'faults of the fake server')
})
const open = async (opts) => (app = await App.open(browser, fake, opts))
const overcurrent = () => fake.alarms.find((a) => a.cause === 'overcurrent' && a.state === 'open')

describe('login', () => {
  test('a wrong password is said, the right one leads to where one wanted to go', async () => {
    const { page } = await open({ locale: 'en', allow: [/401.*\/login/] })
    await app.go('/alarms?state=all')
    await app.fillLogin('admin', 'wrong')
    await page.getByRole('alert').waitFor()
    assert.match(await page.getByRole('alert').innerText(), /User or password is wrong/)
    await app.fillLogin(fake.user, fake.password)
    await page.locator('[data-test=alarm-list]').waitFor()
    assert.match(page.url(), /\/alarms\?state=all$/)
  })

  test('a link cannot lead elsewhere after the login', async () => {
    const { page } = await open()
    await app.go('/login?next=//example.org/')
    await app.fillLogin(fake.user, fake.password)
    await page.locator('.tabs').waitFor()
    assert.equal(new URL(page.url()).origin, fake.url)
  })

  test('a session that ended leads to the login and back', async () => {
    const { page } = await open({ locale: 'en', allow: [/401/] })
    await app.login('/sheds/yulan-3')
    fake.signedIn.clear()
    await page.locator('.tabs a').nth(1).click()
    await page.getByText('Your session has ended').waitFor()
    await app.fillLogin(fake.user, fake.password)
    await page.locator('[data-test=alarm-list]').waitFor()
  })

  test('sign out forgets', async () => {
    const { page } = await open({ locale: 'en', allow: [/401/] })
    await app.login()
    await page.locator('[data-test=settings]').click()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.locator('input[name=password]').waitFor()
    await app.go('/sheds/yulan-3')
    await page.locator('input[name=password]').waitFor()
  })
})

describe('live', () => {
  test('an alarm arrives without reloading: list, count, title, notice', async () => {
    const { page } = await open({ locale: 'en' })
    await app.login()
    await page.locator('.tile').first().waitFor()
    assert.equal(await page.title(), '(5) shedguard')
    const alarm = fake.raise('short_circuit', 'yulan-7', 'outlet/4', { severity: 'critical' })
    await app.alarm(alarm.alarm_id).waitFor()
    await page.locator('[data-test=toast]').waitFor()
    await page.waitForFunction(() => document.title === '(6) shedguard')
    assert.equal(await page.locator('[data-test=open-count]').innerText(), '6')
    const first = await page.locator('[data-test=open-alarms] .alarm').first().getAttribute('data-alarm')
    assert.equal(first, alarm.alarm_id, 'the newest critical alarm is first')
    await page.locator('[data-shed=yulan-7] .cells .st-tripped').waitFor()
    fake.clear(alarm)
    await app.alarm(alarm.alarm_id).waitFor({ state: 'detached' })
    await page.locator('[data-test=toast]').waitFor({ state: 'detached' })
    await page.waitForFunction(() => document.title === '(5) shedguard')
  })

  test('the alarm sounds until somebody reacts, and not when switched off', async () => {
    const { page } = await open({ locale: 'en' })
    await page.addInitScript(() => {
      window.started = 0
      const start = OscillatorNode.prototype.start
      OscillatorNode.prototype.start = function (...args) {
        window.started++
        return start.apply(this, args)
      }
    })
    await app.login()
    await page.locator('.tile').first().waitFor()
    fake.raise('meter_stale', 'yulan-7', 'outlet/2')
    await page.locator('[data-shed=yulan-7] .tag.solid').waitFor()
    assert.equal(await page.evaluate(() => window.started), 0, 'a minor alarm is silent')
    fake.raise('overcurrent', 'yulan-7', 'outlet/4')
    await page.waitForFunction(() => window.started >= 6)
    await page.getByRole('button', { name: 'Silence' }).click()
    await page.locator('[data-test=settings]').click()
    await app.dialog().locator('input[name=sound]').nth(1).check({ force: true })
    await page.keyboard.press('Escape')
    const before = await page.evaluate(() => window.started)
    fake.raise('overcurrent', 'yulan-7', 'outlet/5')
    await page.locator('[data-test=toast]').waitFor()
    assert.equal(await page.evaluate(() => window.started), before)
  })

  test('values follow; a lost connection is said and its values are marked', async () => {
    const { page } = await open({ locale: 'en', allow: [/ERR_|Failed to load resource/] })
    await app.login('/sheds/yulan-3')
    const watts = app.outlet(1).locator('.big b')
    const was = await watts.innerText()
    fake.outlet('yulan-3', 1, 'full')
    fake.tick()
    await page.waitForFunction((old) => document.querySelector('[data-outlet="1"] .big b').textContent !== old, was)
    await page.locator('.outlet:not(.stale)[data-outlet="1"]').waitFor()
    fake.dropStreams()
    await page.locator('[data-test=lost]').waitFor()
    assert.match(await page.locator('[data-test=lost]').innerText(), /lost.*from \d\d:\d\d:\d\d/s)
    await page.locator('.outlet.stale[data-outlet="1"] .stale-word').waitFor()
    const missed = fake.raise('short_circuit', 'yulan-3', 'outlet/9', { severity: 'critical' })
    fake.restoreStreams()
    await page.locator('[data-test=lost]').waitFor({ state: 'detached', timeout: 15_000 })
    await app.alarm(missed.alarm_id).waitFor()
    await page.locator('.outlet:not(.stale)[data-outlet="1"]').waitFor()
  })

  test('when too much was missed, everything is read afresh', async () => {
    const { page } = await open()
    await app.login('/alarms')
    await page.locator('.alarm').first().waitFor()
    const quiet = fake.alarm('overcurrent', 'yulan-7', 'outlet/1', 1_000)
    fake.publish('reset', {})
    await app.alarm(quiet.alarm_id).waitFor()
  })

  test('an outlet whose meter is silent is marked while the rest is live', async () => {
    await open({ locale: 'en' })
    await app.login('/sheds/yulan-3')
    assert.match(await app.outlet(8).innerText(), /suspended.*stale reading.*Stale: from/s)
    assert.doesNotMatch(await app.outlet(4).innerText(), /Stale/)
  })
})

describe('deeds', () => {
  for (const locale of ['zh-CN', 'en']) {
    test(`acknowledge with a comment (${locale})`, async () => {
      const { page } = await open({ locale })
      await app.login()
      const alarm = overcurrent()
      await app.acknowledge(alarm.alarm_id, '已派人前往 <b>1</b>')
      await app.alarm(alarm.alarm_id).locator('.seen-by').waitFor()
      assert.deepEqual([alarm.acknowledged.by, alarm.acknowledged.comment], ['admin', '已派人前往 <b>1</b>'])
      await app.alarm(alarm.alarm_id).locator('h3 a').click()
      await page.locator('[data-test=acknowledged] q').waitFor()
      assert.equal(await page.locator('[data-test=acknowledged] q').innerText(), '已派人前往 <b>1</b>')
      await page.locator('.comment textarea').fill('found a worn plug')
      await page.locator('.comment button').click()
      await page.locator('.h-comment').waitFor()
    })

    test(`reset: the gateway's answer in words (${locale})`, async () => {
      const { page } = await open({ locale })
      const alarm = overcurrent()
      await app.login('/sheds/yulan-3')
      fake.refusal = { code: 'cause_stands', text: 'overcurrent: 13.8 A, limit 10 A' }
      const refused = await app.order(3, app.words.reset)
      assert.match(refused, locale === 'en' ? /refused.*cause still stands.*13\.8 A/s : /拒绝执行.*原因仍然存在.*13\.8 A/s)
      await page.keyboard.press('Escape')
      await app.dialog().waitFor({ state: 'detached' })
      fake.refusal = undefined
      const done = await app.order(3, app.words.reset)
      assert.match(done, locale === 'en' ? /has reset outlet 3/ : /已复位 3 号插座/)
      assert.deepEqual(fake.log.at(-1), { shed: 'yulan-3', kind: 'reset_trip', args: { outlet: 3 } })
      await app.dialog().locator('button').last().click()
      await page.locator('[data-outlet="3"].edge-ready').waitFor()
      await app.alarm(alarm.alarm_id).waitFor({ state: 'detached' })
    })
  }

  const codes = ['expired', 'repeated', 'unknown_kind', 'bad_args', 'not_permitted', 'cause_stands', 'clock_unsynced', 'wrong_boot', 'busy']
  test('every refusal of the contract has words, an unknown one is shown as it came', async () => {
    await open({ locale: 'en' })
    fake.commandDelay = 0
    await app.login('/sheds/yulan-3')
    const said = new Set()
    for (const code of [...codes, 'of_a_newer_gateway']) {
      fake.refusal = { code, text: 'detail' }
      said.add(await app.order(1, 'Stop'))
      await app.dialog().locator('button').last().click()
    }
    assert.equal(said.size, codes.length + 1)
    assert.ok([...said].every((s, i) => (i < codes.length ? !s.includes('_') : s.includes('of_a_newer_gateway'))))
  })

  test('no answer is called unsure, an offline gateway is not asked twice', async () => {
    const { page } = await open({ locale: 'en', allow: [/504|409/] })
    await app.login('/sheds/yulan-3')
    fake.commandStatus = 504
    assert.match(await app.order(1, 'Stop'), /may or may not/)
    fake.commandStatus = 0
    await app.go('/sheds/heping-2')
    await page.getByText('cannot be reached since').waitFor()
    assert.match(await app.order(1, 'Stop'), /offline\. Nothing was sent/)
  })

  test('start with limits sends them, nonsense is refused before it is sent', async () => {
    const { page } = await open({ locale: 'en' })
    await app.login('/sheds/yulan-3')
    await app.outlet(7).getByRole('button', { name: 'Start' }).click()
    const fields = app.dialog().locator('.limits input')
    await fields.nth(0).fill('-5')
    await app.dialog().locator('button[type=submit]').click()
    await app.dialog().getByRole('alert').waitFor()
    await fields.nth(0).fill('90')
    await fields.nth(1).fill('500')
    await app.dialog().locator('button[type=submit]').click()
    await app.answer().waitFor()
    assert.deepEqual(fake.log, [{ shed: 'yulan-3', kind: 'start', args: { outlet: 7, max_minutes: 90, max_wh: 500 } }])
    await page.keyboard.press('Escape')
  })

  test('name and place', async () => {
    const { page } = await open({ locale: 'en' })
    await app.login('/sheds/jiuxian-5')
    await page.getByRole('button', { name: 'Name and place' }).click()
    await app.dialog().locator('input').first().fill('酒仙桥 5 号棚')
    await app.dialog().locator('button[type=submit]').click()
    await page.getByRole('heading', { level: 1, name: '酒仙桥 5 号棚' }).waitFor()
    assert.equal(fake.sheds.get('jiuxian-5').name, '酒仙桥 5 号棚')
  })
})

describe('alarm list', () => {
  test('10,000 alarms: first paint within 1 s, little in the document, the last one can be reached', async (t) => {
    fake.many(10_000)
    const { page } = await open({ locale: 'en' })
    await app.login()
    await page.locator('.tile').first().waitFor()
    // A full load of the list in this browser, as its own clock measures it.
    await app.go('/alarms')
    await page.locator('.alarm').nth(5).waitFor()
    const ms = await page.evaluate(async () => {
      const observed = await new Promise((done) => {
        new PerformanceObserver((list) => done(list.getEntries().at(-1).startTime)).observe({ type: 'largest-contentful-paint', buffered: true })
      })
      return Math.round(observed)
    })
    t.diagnostic(`10,000 open alarms: largest contentful paint after ${ms} ms`)
    assert.ok(ms <= 1000, `first paint after ${ms} ms`)
    const last = fake.alarms.reduce((a, b) => (a.state === 'open' && a.raised_at < b.raised_at ? a : b.state === 'open' ? b : a))
    for (let i = 0; i < 400; i++) {
      if (await page.getByText(/^10005 shown$/).count()) break
      await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight))
      await page.waitForTimeout(20)
    }
    await page.getByText(/^10005 shown$/).waitFor()
    await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight))
    await app.alarm(last.alarm_id).waitFor()
    const rows = await page.locator('.alarm').count()
    assert.ok(rows < 60, `${rows} rows in the document`)
    // Still at hand: a new alarm is taken in and the top is a scroll away.
    const alarm = fake.raise('overcurrent', 'yulan-7', 'outlet/4')
    await page.evaluate(() => window.scrollTo(0, 0))
    await app.alarm(alarm.alarm_id).waitFor()
  })

  test('filters, kept in the address', async () => {
    const { page } = await open({ locale: 'en' })
    await app.login('/alarms')
    await page.locator('.alarm').first().waitFor()
    assert.equal(await page.locator('.alarm').count(), 5)
    await page.locator('input[value=cleared]').check({ force: true })
    await page.getByText('24 shown').waitFor()
    await page.locator('select').first().selectOption('minor')
    await page.getByText('8 shown').waitFor()
    await page.locator('select').nth(1).selectOption('yulan-7')
    await page.getByText('No alarms here').waitFor()
    assert.match(page.url(), /state=cleared/)
    await page.reload()
    await page.getByText('No alarms here').waitFor()
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await page.getByText('5 shown').waitFor()
  })

  test('an error is said and can be tried again', async () => {
    const { page } = await open({ locale: 'en', allow: [/503/] })
    await app.login()
    await page.locator('.tile').first().waitFor()
    fake.fail.set('/api/v1/alarms', 503)
    await page.locator('.tabs a').nth(1).click()
    await page.getByText('The server has a problem (HTTP 503)').waitFor()
    fake.fail.clear()
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.locator('.alarm').first().waitFor()
  })
})

describe('chart', () => {
  test('draws, follows its controls, marks alarms, is loaded only when needed', async () => {
    const { page } = await open({ locale: 'en' })
    const scripts = []
    page.on('response', (r) => r.url().endsWith('.js') && scripts.push(r.url()))
    await app.login('/sheds/yulan-3')
    await app.outlet(3).waitFor()
    const before = scripts.length
    await app.outlet(3).locator('.outlet-no').click()
    const chart = page.locator('[data-test=chart]')
    await chart.locator('canvas').waitFor()
    assert.ok(scripts.length > before, 'the chart library comes with the chart')
    assert.match(await chart.getAttribute('aria-label'), /Power of outlet 3 .* W/)
    await app.alarm(overcurrent().alarm_id).waitFor()
    await page.locator('.quantities input[value=amps]').check({ force: true })
    await page.waitForFunction(() => /Current/.test(document.querySelector('[data-test=chart]')?.ariaLabel ?? ''))
    await page.locator('input[value=r24h]').check({ force: true })
    await page.waitForURL(/range=r24h/)
    await chart.locator('canvas').waitFor()
    const painted = await chart.locator('canvas').evaluate((c) => {
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data
      const seen = new Set()
      for (let i = 0; i < d.length; i += 4) if (d[i + 3]) seen.add((d[i] << 16) | (d[i + 1] << 8) | d[i + 2])
      return seen.size
    })
    assert.ok(painted > 20, `${painted} colours on the chart`)
    await page.getByRole('button', { name: 'Custom' }).click()
    await page.locator('.pick input').nth(0).fill('2001-01-01T00:00')
    await page.locator('.pick input').nth(1).fill('2000-01-01T00:00')
    await page.getByRole('button', { name: 'Show' }).click()
    await page.getByText('“From” must be before “To”.').waitFor()
  })

  test('an empty range and a failing store are said', async () => {
    const { page } = await open({ locale: 'en', allow: [/503/] })
    await app.login('/sheds/yulan-3')
    fake.series = (req, res) => fake.json(req, res, { from: '', to: '', step_ms: 10_000, series: null })
    await app.go('/sheds/yulan-3/outlets/4')
    await page.getByText('No values in this range').waitFor()
    fake.series = (req, res) => fake.problem(res, 503, 'Service Unavailable', 'the store is away')
    await page.locator('input[value=r6h]').check({ force: true })
    await page.getByText('the store is away').waitFor()
  })
})

describe('empty and wrong', () => {
  test('before the first shed', async () => {
    fake.sheds.clear()
    fake.alarms = []
    const { page } = await open({ locale: 'en' })
    await app.login()
    await page.getByText('No shed has reported yet').waitFor()
    await page.getByText('No open alarms').waitFor()
  })

  test('all is well', async () => {
    for (const s of fake.sheds.values()) s.state = 'online'
    fake.alarms = []
    const { page } = await open({ locale: 'en' })
    await app.login()
    await page.getByText('All sheds that report are fine').waitFor()
    assert.equal(await page.title(), 'shedguard')
  })

  test('a shed, an alarm and a page that do not exist', async () => {
    const { page } = await open({ locale: 'en', allow: [/404/] })
    await app.login('/sheds/nowhere')
    await page.getByText('There is no shed with the id').waitFor()
    await app.go('/alarms/nothing')
    await page.getByText('There is no such alarm').waitFor()
    await app.go('/no/such/page')
    await page.getByRole('heading', { name: 'This page does not exist' }).waitFor()
  })

  test('words of a newer gateway are shown, not swallowed', async () => {
    const a = fake.alarm('water_ingress', 'yulan-3', 'pump/2', 1_000)
    fake.sheds.get('yulan-3').outlets[0].state = 'resting'
    const { page } = await open({ locale: 'en' })
    await app.login()
    assert.match(await app.alarm(a.alarm_id).innerText(), /water ingress.*pump\/2/s)
    await app.go('/sheds/yulan-3')
    assert.match(await app.outlet(1).innerText(), /resting/)
    await page.locator('h1').waitFor()
  })
})

describe('looks', () => {
  const views = {
    overview: ['/', '.tile'],
    shed: ['/sheds/yulan-3', '[data-outlet="12"]'],
    alarms: ['/alarms?state=all', '.alarm'],
    alarm: () => [`/alarms/${overcurrent().alarm_id}`, '.history li'],
    chart: ['/sheds/yulan-3/outlets/3?field=amps', '[data-test=chart] canvas'],
  }
  const shots = fileURLToPath(new URL('../../../artefacts/web', import.meta.url))
  const variants = [
    ['zh-CN', 'light', desktop],
    ['en', 'dark', desktop],
    ['zh-CN', 'dark', phone],
    ['en', 'light', narrow],
  ]
  for (const [locale, colorScheme, viewport] of variants) {
    test(`${viewport.width} px, ${locale}, ${colorScheme}: fits, is accessible, is in its language`, async () => {
      await mkdir(shots, { recursive: true })
      const { page } = await open({ locale, colorScheme, viewport })
      await app.go('/')
      await page.locator('input[name=username]').waitFor()
      await app.assertAccessible('login')
      await app.assertNoSideScroll()
      await app.login()
      for (const [name, of] of Object.entries(views)) {
        const [path, sign] = typeof of === 'function' ? of() : of
        await app.go(path)
        await page.locator(sign).first().waitFor()
        await app.assertNoSideScroll()
        await app.assertAccessible(name)
        const text = await page.locator('main').innerText()
        assert.equal(/[a-z]+\.[a-z]+[A-Z]\w*|\{\w+\}/.test(text), false, `unfilled text in ${name}: ${text.match(/\S*\{\w+\}\S*/)}`)
        await page.screenshot({ path: `${shots}/test-${name}-${viewport.width}-${locale}-${colorScheme}.png` })
      }
      await app.go('/sheds/yulan-3')
      await app.outlet(3).getByRole('button', { name: app.words.reset }).click()
      await app.assertAccessible('order dialog')
      await page.keyboard.press('Escape')
      await page.locator('input[value=table]').check({ force: true })
      await page.locator('table').waitFor()
      await app.assertAccessible('outlet table')
      await app.assertNoSideScroll()
      const dark = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
      assert.equal(dark === 'rgb(13, 19, 24)', colorScheme === 'dark')
    })
  }

  test('language and theme change at once and are remembered', async () => {
    const { page } = await open({ locale: 'zh-CN', colorScheme: 'light' })
    await app.login()
    await page.locator('[data-test=settings]').click()
    await app.dialog().getByLabel('English').check()
    await app.dialog().getByLabel('Dark').check()
    await app.dialog().getByRole('heading', { name: 'Settings' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    await page.reload()
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    const root = await page.evaluate(() => [document.documentElement.lang, document.documentElement.dataset.theme])
    assert.deepEqual(root, ['en', 'dark'])
  })

  test('the keyboard alone: skip link, acknowledge, back to where one was', async () => {
    const { page } = await open({ locale: 'en' })
    await app.login()
    await page.locator('.alarm').first().waitFor()
    await app.go('/')
    await page.locator('.alarm').first().waitFor()
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content')
    const button = page.locator('.alarm .btn').first()
    await button.focus()
    await page.keyboard.press('Enter')
    await app.dialog().waitFor()
    assert.ok(await page.evaluate(() => document.querySelector('dialog').contains(document.activeElement)), 'focus is in the dialog')
    await page.keyboard.press('Escape')
    await app.dialog().waitFor({ state: 'detached' })
    assert.ok(await button.evaluate((b) => b === document.activeElement), 'focus is back on the button')
  })

  test('can be installed: manifest and its icons', async () => {
    const { page } = await open()
    await app.go('/')
    const manifest = await page.evaluate(async () => (await fetch(document.querySelector('link[rel=manifest]').href)).json())
    assert.equal(manifest.display, 'standalone')
    for (const icon of manifest.icons) {
      const res = await page.request.get(fake.url + icon.src)
      assert.equal(res.status(), 200, icon.src)
      assert.equal(res.headers()['content-type'], icon.type)
    }
    assert.ok(manifest.icons.some((i) => i.sizes === '192x192') && manifest.icons.some((i) => i.sizes === '512x512'))
  })

  test('the first load weighs at most 500 kB gzipped, without the chart', async (t) => {
    const { page } = await open()
    const names = []
    const sizes = []
    page.on('requestfinished', (r) => {
      names.push(r.url())
      if (!r.url().includes('/api/')) sizes.push(r.sizes())
    })
    await app.login()
    await page.locator('.tile').first().waitFor()
    await page.waitForLoadState('load')
    const bytes = (await Promise.all(sizes)).reduce((sum, z) => sum + z.responseBodySize, 0)
    t.diagnostic(`first load: ${Math.round(bytes / 1000)} kB`)
    assert.ok(bytes > 50_000 && bytes <= 500_000, `${bytes} bytes`)
    assert.ok(!names.some((n) => /OutletView/.test(n)))
  })
})
