import { afterEach, describe, expect, it } from 'vitest'
import { i18n } from './i18n'
import { prefs, type Locale } from './prefs'
import { checkDetail, checkName, checksOf } from './selftest'

function speak(locale: Locale) {
  prefs.locale = locale
  i18n.global.locale.value = locale
}
afterEach(() => speak('en'))

describe('self-test', () => {
  it.each([
    ['guard', 'Protection', '保护程序'],
    ['relays', 'Relay outputs', '继电器输出'],
    ['lamp', 'Lamp', '警灯'],
    ['outlet/3/meter', 'Outlet 3: meter', '3 号插座：电表'],
    ['outlet/12/thermometer', 'Outlet 12: thermometer', '12 号插座：测温'],
    ['outlet/1/relay', 'Outlet 1: relay', '1 号插座：继电器'],
    ['disk', 'Disk', '磁盘'],
    ['clock', 'Clock', '时钟'],
    ['suppression', 'Fire suppression', '灭火装置'],
    ['outlet/0/meter', 'outlet/0/meter', 'outlet/0/meter'],
    ['outlet/3/fan', 'outlet/3/fan', 'outlet/3/fan'],
    ['pump/2', 'pump/2', 'pump/2'],
    ['toString', 'toString', 'toString'],
  ])('%s', (name, en, zh) => {
    speak('en')
    expect(checkName(name)).toBe(en)
    speak('zh-CN')
    expect(checkName(name)).toBe(zh)
  })

  it.each([
    ['lamp', 'lit for 3s: look whether it is', 'lit for 3 s: look whether it is', '点亮 3 秒：请查看是否点亮'],
    ['lamp', 'none is wired', 'none is wired', '未接线'],
    ['outlet/3/meter', 'not read yet', 'not read yet', '尚未读取'],
    ['outlet/3/meter', 'no acknowledge from address 0x66', 'no acknowledge from address 0x66', 'no acknowledge from address 0x66'],
    ['clock', 'runs free since its time source was lost', 'runs free since its time source was lost', '时间源丢失后自由运行'],
    ['clock', 'not set: start, reset and veto by command are refused', 'not set: start, reset and veto from here are refused', '未校准：拒绝远程启动、复位和紧急停止'],
    ['suppression', 'not enabled', 'not enabled', '未启用'],
    ['suppression', 'idle', 'ready', '待命'],
    ['suppression', 'armed, 5s left', 'armed, 5s left', 'armed, 5s left'],
    ['disk', undefined, '', ''],
  ])('%s: %s', (name, detail, en, zh) => {
    speak('en')
    expect(checkDetail({ name, ok: true, detail })).toBe(en)
    speak('zh-CN')
    expect(checkDetail({ name, ok: true, detail })).toBe(zh)
  })

  it('puts first what failed, and keeps the order otherwise', () => {
    const result = { ok: false, checks: [{ name: 'a', ok: true }, { name: 'b', ok: false }, { name: 'c', ok: true }, { name: 'd', ok: false }] }
    expect(checksOf(result)?.map((c) => c.name)).toEqual(['b', 'd', 'a', 'c'])
  })

  it('does not take for a result what is none', () => {
    for (const none of [undefined, null, 'ok', 1, {}, { checks: null }, { checks: [] }, { checks: [null, { name: 'a' }, { ok: true }] }]) expect(checksOf(none)).toBeUndefined()
    expect(checksOf({ checks: [null, { name: 'a', ok: true }] })).toEqual([{ name: 'a', ok: true }])
  })
})
