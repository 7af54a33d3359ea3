package shedguard

import "strconv"

// Detail says more exactly what a rule saw, where one cause has several
// faces. The empty detail is for causes that have one.
type Detail string

// The details: of the charging curve, of a meter that cannot be right, and of a
// camera that is blind.
const (
	DetailNone     Detail = ""
	DetailLateRise Detail = "late_rise" // %, of the plateau: power rose when it should fall
	DetailRise     Detail = "rise"      // %, of its first level: power rose in constant current
	DetailStepUp   Detail = "step_up"   // %, of the plateau
	DetailStepDown Detail = "step_down" // %, of the plateau
	DetailSwings   Detail = "swings"    // number of swings in the rule's window
	DetailStuck    Detail = "stuck"     // W: power stopped falling too high
	DetailSlow     Detail = "slow"      // min: what the outlet's other charges do faster
	DetailSteeper  Detail = "steeper"   // %: a rise above that of the outlet's other charges
	DetailLong     Detail = "long"      // h of charging
	DetailFrozen   Detail = "frozen"    // min without any change of the reading

	DetailNoMeasurement Detail = "no_measurement" // s since the last that was one
	DetailPowerExcess   Detail = "power_excess"   // active power, times volts x amps
	DetailPowerMissing  Detail = "power_missing"  // likewise

	DetailPictureFrozen      Detail = "picture_frozen"
	DetailPictureBlack       Detail = "picture_black"
	DetailPictureOverexposed Detail = "picture_overexposed"
	DetailPictureCovered     Detail = "picture_covered"
	DetailPictureDefocused   Detail = "picture_defocused"
	DetailPictureMoved       Detail = "picture_moved"
)

// Details lists every detail.
func Details() []Detail {
	return []Detail{
		DetailNone, DetailLateRise, DetailRise, DetailStepUp, DetailStepDown, DetailSwings, DetailStuck,
		DetailSlow, DetailSteeper, DetailLong, DetailFrozen,
		DetailNoMeasurement, DetailPowerExcess, DetailPowerMissing,
		DetailPictureFrozen, DetailPictureBlack, DetailPictureOverexposed, DetailPictureCovered,
		DetailPictureDefocused, DetailPictureMoved,
	}
}

// Text says in one clause what was seen. The limit is what the value was held
// against. A detail that this version does not know says nothing.
func (d Detail) Text(value, limit float64) Text {
	v, l := measured(value, "", ""), measured(limit, "", "")
	switch d {
	case DetailLateRise:
		return Text{"恒压阶段功率上升了 " + v + "%（限值 " + l + "%）", "power rose by " + v + " % in the constant-voltage phase (limit " + l + " %)"}
	case DetailRise:
		return Text{"恒流阶段功率上升了 " + v + "%（限值 " + l + "%）", "power rose by " + v + " % in the constant-current phase (limit " + l + " %)"}
	case DetailStepUp:
		return Text{"功率一次突增 " + v + "%（限值 " + l + "%）", "power rose by " + v + " % in one step (limit " + l + " %)"}
	case DetailStepDown:
		return Text{"功率一次突降 " + v + "% 后不再变化（限值 " + l + "%）", "power fell by " + v + " % in one step and stayed there (limit " + l + " %)"}
	case DetailSwings:
		n := strconv.Itoa(int(value))
		return Text{"功率短时间内来回波动 " + n + " 次（限值 " + l + " 次）", "power swung up and down " + n + " times within minutes (limit " + l + ")"}
	case DetailStuck:
		return Text{"恒压后期功率停在 " + v + " W 不再下降（限值 " + l + " W）", "power stopped falling at " + v + " W after the taper (limit " + l + " W)"}
	case DetailSlow:
		return Text{"这一段充电已用 " + v + " 分钟，本插座平常不超过 " + l + " 分钟", "this stretch of the charge has taken " + v + " min, at this outlet it takes at most " + l + " min"}
	case DetailSteeper:
		return Text{"恒流阶段功率上升了 " + v + "%，本插座平常不超过 " + l + "%", "power rose by " + v + " % in the constant-current phase, at this outlet it rises by at most " + l + " %"}
	case DetailLong:
		return Text{"已充电 " + v + " 小时（限值 " + l + " 小时）", "it has been charging for " + v + " h (limit " + l + " h)"}
	case DetailFrozen:
		return Text{"读数已有 " + v + " 分钟没有任何变化（限值 " + l + " 分钟）", "the reading has not changed at all for " + v + " min (limit " + l + " min)"}
	case DetailNoMeasurement:
		return Text{"仪表已有 " + v + " 秒没有给出可信的数值（限值 " + l + " 秒）", "the meter has answered for " + v + " s, and nothing that can be a measurement (limit " + l + " s)"}
	case DetailPowerExcess:
		return Text{"有功功率达到电压乘电流的 " + v + " 倍（限值 " + l + " 倍）", "active power is " + v + " times volts times amps (limit " + l + ")"}
	case DetailPowerMissing:
		return Text{"有电流，但有功功率只有电压乘电流的 " + v + " 倍（至少应为 " + l + " 倍）", "current flows, and active power is only " + v + " times volts times amps (it should be at least " + l + ")"}
	case DetailPictureFrozen:
		return Text{"画面静止不动", "the picture stands still"}
	case DetailPictureBlack:
		return Text{"画面全黑", "the picture is black"}
	case DetailPictureOverexposed:
		return Text{"画面过曝", "the picture is overexposed"}
	case DetailPictureCovered:
		return Text{"镜头被遮挡", "the lens is covered"}
	case DetailPictureDefocused:
		return Text{"画面失焦", "the picture is out of focus"}
	case DetailPictureMoved:
		return Text{"摄像头已被转动", "the camera points elsewhere"}
	default:
		return Text{}
	}
}
