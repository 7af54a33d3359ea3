// Takes the pictures that people look at: node e2e/shots.js [folder]. Needs a build in dist.

import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { launch } from './browser.js'
import { Fake } from './fake.js'
import { App, desktop, phone } from './pages.js'

const out = process.argv[2] ?? fileURLToPath(new URL('../../../artefacts/web', import.meta.url))
await mkdir(out, { recursive: true })
const fake = await new Fake().start()
const browser = await launch()
const variants = [
  ['desktop-zh-light', 'zh-CN', 'light', desktop],
  ['desktop-en-dark', 'en', 'dark', desktop],
  ['phone-zh-dark', 'zh-CN', 'dark', phone],
  ['phone-en-light', 'en', 'light', phone],
]
try {
  for (const [name, locale, colorScheme, viewport] of variants) {
    const app = await App.open(browser, fake, { locale, colorScheme, viewport })
    const { page } = app
    const shot = (what, fullPage = true) => page.screenshot({ path: `${out}/${name}-${what}.png`, fullPage })
    await app.go('/')
    await page.locator('.login').waitFor()
    await page.waitForFunction(() => [...document.images].every((i) => i.complete))
    await shot('1-login')
    await app.login()
    await page.locator('.tile').first().waitFor()
    await shot('2-overview', viewport === phone)
    await app.go('/sheds/yulan-3')
    await app.outlet(12).waitFor()
    await shot('3-shed')
    await app.page.locator('[data-camera=east-door] img').waitFor()
    await page.locator('[data-test=cameras]').screenshot({ path: `${out}/${name}-3-cameras.png` })
    if (viewport === desktop) {
      await page.locator('input[value=table]').check({ force: true })
      await shot('3-shed-table')
      await page.locator('input[value=cards]').check({ force: true })
    }
    await app.outlet(3).getByRole('button', { name: app.words.reset }).click()
    fake.refusal = { code: 'cause_stands', text: 'overcurrent: 13.8 A, limit 10 A' }
    await app.dialog().locator('button[type=submit]').click()
    await app.answer().waitFor()
    fake.refusal = undefined
    await shot('4-refused', false)
    await page.keyboard.press('Escape')
    fake.calls('huilong-a')
    await app.go('/sheds/huilong-a')
    await page.locator('.countdown').waitFor()
    await page.locator('[data-test=feeder]').waitFor()
    await shot('3-calls')
    await page.locator('.countdown .btn').first().click()
    await shot('3-calls-veto', false)
    for (const phase of ['vetoed', 'releasing', 'released', 'unknown', 'idle']) {
      fake.says('huilong-a', { siren: false, suppression: fake.suppression(phase, phase === 'releasing' ? 9_500 : undefined, { alarm_id: fake.flame.alarm_id, by: '值班员' }) })
      await page.locator(`[data-phase=${phase}]`).waitFor()
      await page.evaluate(() => window.scrollTo(0, 0))
      await shot(`3-suppression-${phase}`, false)
    }
    await page.locator('[data-test=self-test]').click()
    await shot('4-self-test', false)
    await app.dialog().locator('button[type=submit]').click()
    await page.locator('[data-test=checks]').waitFor()
    await shot('4-self-test-result', false)
    fake.says('huilong-a', { siren: false, suppression: null })
    await app.go('/alarms?state=all')
    await page.locator('.alarm').first().waitFor()
    await shot('5-alarms', false)
    const welded = fake.alarms.find((a) => a.cause === 'overcurrent')
    await app.go(`/alarms/${welded.alarm_id}`)
    await page.locator('.history').waitFor()
    await shot('6-alarm')
    await page.locator('[data-test=delivery]').first().waitFor()
    await app.go(`/alarms/${fake.flame.alarm_id}`)
    await page.locator('[data-picture="0"] img').waitFor()
    await page.waitForFunction(() => [...document.images].every((i) => i.complete))
    await shot('6-flame')
    await page.locator('[data-picture="0"]').click()
    await page.locator('.large').waitFor()
    await shot('6-picture', false)
    await page.keyboard.press('Escape')
    await app.go('/notifications')
    await page.locator('[data-test=delivery]').first().waitFor()
    await shot('6-notifications')
    await app.go('/alarms')
    await page.locator('.alarm').first().waitFor()
    await page.locator('[data-test=select]').click()
    await page.locator('.alarm input').first().check()
    await shot('5-alarms-select', false)
    await app.go('/sheds/yulan-3/outlets/3?field=amps')
    await page.locator('[data-test=chart] canvas').waitFor()
    await page.waitForTimeout(400)
    await shot('7-chart')
    await app.go('/sheds/yulan-7/outlets/2?range=r24h')
    await page.locator('[data-test=chart] canvas').waitFor()
    await page.waitForTimeout(400)
    await shot('7-chart-24h', false)
    await page.locator('[data-test=settings]').click()
    await shot('8-settings', false)
    await page.keyboard.press('Escape')
    await app.go('/')
    await page.locator('.tile').first().waitFor()
    const burns = ['zone/bay-1', 'outlet/1', 'outlet/2', 'outlet/3'].map((s) => fake.raise('fire', 'yulan-7', s, { unit: '', value: 0, limit: 0, action: 'cut_zone', grade: s.startsWith('zone') ? 'fire' : '' }))
    await page.locator('[data-test=others]').waitFor()
    await shot('9-fire', false)
    for (const b of burns) fake.clear(b)
    const a = fake.raise('short_circuit', 'huilong-a', 'outlet/9')
    await page.locator('[data-test=toast]').waitFor()
    app.allow.add(/./)
    fake.dropStreams()
    await page.locator('[data-test=lost]').waitFor()
    await shot('9-alarm-and-lost', false)
    fake.restoreStreams()
    fake.clear(a)
    await app.close()
  }
} finally {
  await browser.close()
  await fake.stop()
}
