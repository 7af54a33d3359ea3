package shedguard

import (
	"slices"
	"strconv"
	"strings"
)

// Text is the cause as a short noun phrase. A cause that this version does not
// know is its word.
func (c Cause) Text() Text {
	switch c {
	case CauseOvercurrent:
		return Text{"过电流", "overcurrent"}
	case CauseShortCircuit:
		return Text{"短路", "short circuit"}
	case CauseOverpower:
		return Text{"功率超限", "overpower"}
	case CauseShedOverload:
		return Text{"车棚总负荷超限", "shed overload"}
	case CauseOvervoltage:
		return Text{"电压过高", "overvoltage"}
	case CauseUndervoltage:
		return Text{"电压过低", "undervoltage"}
	case CauseResidualCurrent:
		return Text{"漏电", "residual current"}
	case CauseOverTemperature:
		return Text{"温度过高", "over-temperature"}
	case CauseTemperatureRise:
		return Text{"升温过快", "fast temperature rise"}
	case CauseSmokeContact:
		return Text{"烟感报警", "smoke detector alarm"}
	case CauseSmokeSeen:
		return Text{"摄像头发现烟雾", "smoke seen by camera"}
	case CauseFlameSeen:
		return Text{"摄像头发现火焰", "flame seen by camera"}
	case CauseFire:
		return Text{"火灾", "fire"}
	case CauseRelayWelded:
		return Text{"继电器粘连", "welded relay"}
	case CauseRelayFailed:
		return Text{"继电器不动作", "relay failure"}
	case CauseMeterStale:
		return Text{"测量数据中断", "measurements lost"}
	case CauseMeterImplausible:
		return Text{"测量数据异常", "implausible measurements"}
	case CauseBusFault:
		return Text{"通信总线故障", "bus fault"}
	case CauseChargeTooLong:
		return Text{"充电时间过长", "charge too long"}
	case CauseFloatTooHigh:
		return Text{"浮充电流过大", "float current too high"}
	case CausePowerUnstable:
		return Text{"充电功率不稳", "unstable power"}
	case CauseCameraLost:
		return Text{"摄像头离线", "camera lost"}
	case CauseCameraBlind:
		return Text{"摄像头画面异常", "camera blind"}
	case CauseGatewayOffline:
		return Text{"网关离线", "gateway offline"}
	case CauseGatewaySilent:
		return Text{"网关无数据", "gateway silent"}
	case CauseStorageLow:
		return Text{"存储空间不足", "storage low"}
	case CauseRecordsDropped:
		return Text{"记录丢弃", "records dropped"}
	case CauseClockUnsynced:
		return Text{"时钟未校准", "clock not synchronised"}
	case CauseConfigRefused:
		return Text{"配置被拒绝", "configuration refused"}
	case CauseStateLost:
		return Text{"保护状态丢失", "protection state lost"}
	case CauseDoorOpen:
		return Text{"箱门打开", "cabinet door open"}
	default:
		return Text{string(c), string(c)}
	}
}

// Text is what was done, as a short phrase. An action that this version does
// not know is its word.
func (a Action) Text() Text {
	switch a {
	case ActionNone:
		return Text{"仅报警", "alarm only"}
	case ActionRefusedStart:
		return Text{"已拒绝充电", "start refused"}
	case ActionSuspended:
		return Text{"已暂停供电", "power suspended"}
	case ActionTripped:
		return Text{"已断电", "power cut"}
	case ActionCutZone:
		return Text{"已切断本区电源", "zone cut"}
	case ActionCutShed:
		return Text{"已切断整棚电源", "shed cut"}
	case ActionSiren:
		return Text{"已断电并鸣警笛", "power cut, siren sounded"}
	default:
		return Text{string(a), string(a)}
	}
}

// Text is the severity as an adjective.
func (s Severity) Text() Text {
	switch s {
	case SeverityCleared:
		return Text{"已解除", "cleared"}
	case SeverityCritical:
		return Text{"紧急", "critical"}
	case SeverityMajor:
		return Text{"重要", "major"}
	case SeverityMinor:
		return Text{"次要", "minor"}
	case SeverityWarning:
		return Text{"提示", "warning"}
	default:
		return Text{s.String(), s.String()}
	}
}

// Text is the state as a short phrase.
func (s OutletState) Text() Text {
	switch s {
	case StateUnknown:
		return Text{"未知", "unknown"}
	case StateOff:
		return Text{"关闭", "off"}
	case StateReady:
		return Text{"空闲", "ready"}
	case StateCharging:
		return Text{"充电中", "charging"}
	case StateFull:
		return Text{"已充满", "full"}
	case StateSuspended:
		return Text{"暂停", "suspended"}
	case StateTripped:
		return Text{"跳闸", "tripped"}
	case StateFault:
		return Text{"故障", "fault"}
	default:
		return Text{s.String(), s.String()}
	}
}

// SubjectText says what a subject is: "3 号插座" and "outlet 3".
func SubjectText(subject string) Text {
	if n, ok := SubjectOutlet(subject); ok {
		return Text{strconv.Itoa(n) + " 号插座", "outlet " + strconv.Itoa(n)}
	}
	kind, name, _ := strings.Cut(subject, "/")
	var t Text
	switch kind {
	case "", "shed":
		t = Text{"车棚", "shed"}
	case "gateway":
		t = Text{"网关", "gateway"}
	case "contact":
		t = Text{"烟感触点", "smoke contact"}
	case "feeder":
		t = Text{"总进线", "feeder"}
	case "zone":
		t = Text{"区域", "zone"}
	case "bus":
		t = Text{"总线", "bus"}
	case "camera":
		t = Text{"摄像头", "camera"}
	case "relays":
		t = Text{"继电器组", "relays"}
	case "enable_line":
		t = Text{"总使能回路", "enable line"}
	default:
		return Text{subject, subject}
	}
	if name != "" {
		t.ZH += " " + name
		t.EN += " " + name
	}
	return t
}

// AlarmText says in full sentences what happened, where, how high against what
// limit, what the gateway did, and what to do now. Of a cleared alarm it says
// that it is over, and who ended it.
func AlarmText(subject string, a *Alarm) Text {
	where, cause := SubjectText(subject), a.Cause.Text()
	// Not "gateway: gateway offline".
	kindZH, _, _ := strings.Cut(where.ZH, " ")
	kindEN, _, _ := strings.Cut(where.EN, " ")
	cause.ZH, cause.EN = strings.TrimPrefix(cause.ZH, kindZH), strings.TrimPrefix(cause.EN, kindEN+" ")
	if a.Severity == SeverityCleared {
		t := Text{where.ZH + "：" + cause.ZH + "已解除", upper(where.EN) + ": " + cause.EN + " cleared"}
		if a.By != "" {
			t.ZH += "（由 " + a.By + " 复位）"
			t.EN += " (reset by " + a.By + ")"
		}
		if a.CoveredBy != "" {
			t.ZH += "：已并入引起它的另一条报警"
			t.EN += " here: it is part of the alarm that causes it"
		}
		return Text{t.ZH + "。", t.EN + "."}
	}
	fact := a.fact()
	t := Text{where.ZH + "：" + cause.ZH + fact.ZH + "。", upper(where.EN) + ": " + cause.EN + fact.EN + "."}
	covers := a.covers()
	t.ZH += covers.ZH
	t.EN += covers.EN
	if a.Flaps > 0 {
		n := strconv.Itoa(a.Flaps)
		t.ZH += "短时间内反复出现 " + n + " 次，长时间不再出现后才会解除。"
		t.EN += " It came " + n + " times within a short while and clears only after a long calm."
	}
	done, todo := a.done(subject), a.advice()
	if done.EN != "" {
		t.ZH += done.ZH + "。"
		t.EN += " " + done.EN + "."
	}
	t.ZH += todo.ZH + "。"
	t.EN += " " + todo.EN + "."
	return t
}

// covers lists whose own alarms this one stands for; empty when none.
func (a *Alarm) covers() Text {
	if len(a.Covers) == 0 {
		return Text{}
	}
	var numbers []int
	var zh, en []string
	for _, subject := range a.Covers {
		if n, ok := SubjectOutlet(subject); ok {
			numbers = append(numbers, n)
			continue
		}
		t := SubjectText(subject)
		zh, en = append(zh, t.ZH), append(en, t.EN)
	}
	if len(numbers) > 0 {
		slices.Sort(numbers)
		words := make([]string, len(numbers))
		for i, n := range numbers {
			words[i] = strconv.Itoa(n)
		}
		noun := "outlet "
		if len(words) > 1 {
			noun = "outlets "
		}
		zh, en = append(zh, strings.Join(words, "、")+" 号插座"), append(en, noun+strings.Join(words, ", "))
	}
	return Text{"因此没有测量数据：" + strings.Join(zh, "、") + "。", " No measurements because of it: " + strings.Join(en, ", ") + "."}
}

// fact is the value and the limit, in brackets or nothing.
func (a *Alarm) fact() Text {
	if t := a.Detail.Text(a.Value, a.Limit); t.EN != "" {
		return Text{"：" + t.ZH, ": " + t.EN}
	}
	if a.Unit == "" && a.Value == 0 && a.Limit == 0 {
		return Text{}
	}
	zh, en := measured(a.Value, a.Unit, "秒"), measured(a.Value, a.Unit, "s")
	if a.Limit == 0 {
		return Text{"（" + zh + "）", " (" + en + ")"}
	}
	return Text{
		"（" + zh + "，限值 " + measured(a.Limit, a.Unit, "秒") + "）",
		" (" + en + ", limit " + measured(a.Limit, a.Unit, "s") + ")",
	}
}

// measured is a value as a person reads it: three digits, no exponent.
func measured(v float64, unit, second string) string {
	digits := 2
	for limit := 10.0; digits > 0 && (v >= limit || v <= -limit); limit *= 10 {
		digits--
	}
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	switch unit {
	case "":
		return s
	case "s":
		return s + " " + second
	default:
		return s + " " + unit
	}
}

// upper makes the first letter of an English sentence big.
func upper(s string) string {
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}

// done is what the gateway did by itself; empty when nothing. A camera alone
// sounds the siren and cuts nothing.
func (a *Alarm) done(subject string) Text {
	if _, outlet := SubjectOutlet(subject); outlet && a.Action == ActionNone && a.Cause.cuts() {
		if a.Detail != DetailNone { // a rule about the curve reports long before it cuts
			return Text{"网关没有为此断电", "The gateway has not cut the power for it"}
		}
		return Text{"该规则只报警，网关没有为此断电", "This rule only reports: the gateway has not cut the power for it"}
	}
	if a.Action == ActionSiren && (a.Cause == CauseFlameSeen || a.Cause == CauseSmokeSeen) {
		return Text{"网关已鸣响警笛，未断电", "The gateway sounds the siren and has cut nothing"}
	}
	return a.Action.sentence()
}

// cuts reports whether a rule about an outlet can cut its power for the cause,
// so that it must be said when it does not.
func (c Cause) cuts() bool {
	switch c {
	case CauseOvercurrent, CauseShortCircuit, CauseOverpower, CauseOvervoltage, CauseUndervoltage, CauseResidualCurrent,
		CauseOverTemperature, CauseTemperatureRise, CauseSmokeContact, CauseRelayWelded, CauseMeterImplausible,
		CauseChargeTooLong, CauseFloatTooHigh, CausePowerUnstable:
		return true
	default:
		return false
	}
}

// sentence is what an action did; empty when nothing.
func (a Action) sentence() Text {
	switch a {
	case ActionNone:
		return Text{}
	case ActionRefusedStart:
		return Text{"网关已拒绝开始充电", "The gateway refused to start charging"}
	case ActionSuspended:
		return Text{"网关已暂停供电，恢复正常后会自动送电", "The gateway has suspended power and restores it by itself once this is over"}
	case ActionTripped:
		return Text{"网关已断电，复位前不会送电", "The gateway has cut the power; it stays off until a person resets it"}
	case ActionCutZone:
		return Text{"网关已切断本区全部插座，复位前不会送电", "The gateway has cut every outlet of the zone; they stay off until a person resets them"}
	case ActionCutShed:
		return Text{"网关已切断整个车棚，复位前不会送电", "The gateway has cut the whole shed; it stays off until a person resets it"}
	case ActionSiren:
		return Text{"网关已发出断电指令并鸣响警笛", "The gateway has ordered the power off and sounds the siren"}
	default:
		return Text{"网关动作：" + string(a), "Gateway action: " + string(a)}
	}
}

// advice is what a person is to do now.
func (a *Alarm) advice() Text {
	switch a.Cause {
	case CauseOvercurrent:
		return Text{
			"请到现场拔下充电器，查看插座和线缆有无发热、焦痕，确认无异常后再复位",
			"Go and unplug the charger, look for hot or scorched parts, and reset only when all is well",
		}
	case CauseShortCircuit:
		return Text{
			"请立即到现场，不要触摸充电器和线缆，确认无冒烟、无焦味后再拔下；查明原因前不要复位",
			"Go there now. Do not touch charger or cable while there is smoke or a burnt smell; do not reset before the cause is found",
		}
	case CauseOverpower:
		return Text{
			"请查看是否接了大功率电器或排插，拔下后再复位",
			"Look for a heavy appliance or a power strip, unplug it, then reset",
		}
	case CauseShedOverload:
		return Text{
			"请减少同时充电的车辆；若经常出现，请联系电工核对总容量",
			"Let fewer vehicles charge at once; if it comes again, have an electrician check the supply",
		}
	case CauseOvervoltage, CauseUndervoltage:
		return Text{
			"请联系电工检查进线电压和零线",
			"Have an electrician check the supply voltage and the neutral",
		}
	case CauseResidualCurrent:
		return Text{
			"有触电危险：不要触摸车辆和金属棚架，请联系电工检查，查明前不要复位",
			"Danger of electric shock: touch neither vehicles nor metal frame, call an electrician, and do not reset before the cause is found",
		}
	case CauseOverTemperature, CauseTemperatureRise:
		return Text{
			"请立即到现场查看插座和电池；若有冒烟或明火，先疏散人员并拨打 119",
			"Go and look at the outlet and the battery now; if there is smoke or fire, clear the shed and call the fire service (119)",
		}
	case CauseSmokeContact, CauseSmokeSeen:
		return Text{
			"请立即到现场确认；若有冒烟或明火，先疏散人员并拨打 119",
			"Go and check now; if there is smoke or fire, clear the shed and call the fire service (119)",
		}
	case CauseFlameSeen, CauseFire:
		return Text{
			"请立即疏散人员并拨打 119；锂电池着火会复燃，不要靠近",
			"Clear the shed and call the fire service (119) now; burning lithium batteries flare up again, keep away",
		}
	case CauseRelayWelded, CauseRelayFailed:
		return Text{
			"插座可能仍然带电：请立即拉下该路空气开关，并联系维修人员更换继电器",
			"The outlet may still be live: switch off its breaker now and have the relay replaced",
		}
	case CauseMeterStale, CauseMeterImplausible:
		return Text{
			"若十分钟内没有恢复，请联系维修人员检查测量模块和接线",
			"If it has not recovered within ten minutes, have the meter module and its wiring checked",
		}
	case CauseBusFault:
		return Text{
			"这条总线上的插座无法监测，请联系维修人员检查网关和接线",
			"The outlets on this bus cannot be watched; have the gateway and its wiring checked",
		}
	case CauseChargeTooLong, CauseFloatTooHigh, CausePowerUnstable:
		return Text{
			"电池或充电器可能异常：请通知车主尽快断开并检查",
			"Battery or charger may be faulty: ask the owner to unplug and check it soon",
		}
	case CauseCameraLost, CauseCameraBlind:
		return Text{
			"这段时间看不到烟火，请加强巡查，并检查摄像头的供电、网络和镜头",
			"Smoke and fire cannot be seen meanwhile: patrol more often, and check the camera's power, network and lens",
		}
	case CauseGatewayOffline, CauseGatewaySilent:
		return Text{
			"可能断电或断网。有电时现场保护照常工作，但收不到报警：请检查网关的供电和网络，恢复前加强巡查",
			"It may have lost its power or its network. While it has power it protects, but its alarms do not arrive: check both, and patrol until it is back",
		}
	case CauseStorageLow, CauseRecordsDropped:
		return Text{
			"保护和报警不受影响，但历史数据会有缺失：请联系维修人员检查存储卡和网络",
			"Protection and alarms go on, but history will have gaps: have the storage card and the network checked",
		}
	case CauseClockUnsynced:
		return Text{
			"保护不受影响，但时间不准，远程送电和复位已停用：请检查网关的网络和对时",
			"Protection goes on, but times are wrong and remote start and reset are refused: check the gateway's network and time source",
		}
	case CauseConfigRefused:
		return Text{
			"网关继续使用原来的配置：请改正配置后重新下发",
			"The gateway keeps its earlier configuration: correct the new one and send it again",
		}
	case CauseStateLost:
		return Text{
			"重启前的跳闸记录已丢失：请到现场检查该插座，确认无异常后再复位",
			"What had tripped before the restart is no longer known: check the outlet in place and reset it only when all is well",
		}
	case CauseDoorOpen:
		return Text{
			"若非维修人员操作，请到现场查看并锁好箱门",
			"If nobody is servicing it, go and look, and lock the door",
		}
	default:
		return Text{"请到现场查看", "Go and have a look"}
	}
}
