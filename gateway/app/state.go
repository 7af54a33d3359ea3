package app

import (
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/guard"
	"github.com/shedguard/shedguard/gateway/status"
)

// State is everything the gateway knows at this moment.
func (a *App) State() shedguard.ShedState {
	now := time.Now()
	s := shedguard.ShedState{
		Shed: a.cfg.Shed, Version: a.version, At: a.clock.Wall(now).UTC(), Siren: a.guard.Siren(),
		Uplink: "connecting", UptimeMS: a.clock.Mono(now).Milliseconds(),
		Outlets: []shedguard.OutletStatus{}, Alarms: []shedguard.Alarm{},
		Stamp: shedguard.Stamp{Clock: a.clock.Quality(), MonoMS: a.clock.Mono(now).Milliseconds(), BootID: a.boot},
	}
	s.Suppression = a.suppressionStatus()
	if f, ok := a.guard.Feeder(); ok {
		s.Feeder = &shedguard.FeederStatus{
			Watts: f.Drawn, CommittedWatts: f.Committed(), SoftWatts: f.SoftWatts, HardWatts: f.HardWatts,
			Refusing: f.Refusing, Waiting: f.Waiting, Shed: f.Shed,
		}
	}
	if a.uplink.Connected() {
		s.Uplink = "connected"
	}
	o := a.outbox.Stats()
	s.Backlog = o.Alarms + o.Telemetry
	views := a.guard.Snapshot()
	for i := range views {
		s.Outlets = append(s.Outlets, outletStatus(&views[i], now))
	}
	for _, e := range a.alarms.Open() {
		s.Alarms = append(s.Alarms, e.Alarm)
	}
	return s
}

// View is an outlet as it was when its last sample was judged.
func (a *App) View(outlet int) (v guard.OutletView, ok bool) {
	for _, v := range a.guard.Snapshot() {
		if v.Outlet == outlet {
			return v, true
		}
	}
	return v, false
}

func outletStatus(v *guard.OutletView, now time.Time) shedguard.OutletStatus {
	s := shedguard.OutletStatus{
		OutletSummary: outletSummary(v), AgeMS: -1, Closed: v.Closed, Heat: max(v.Heat, 0),
	}
	if !v.Reading.At.IsZero() {
		s.Volts, s.Amps, s.Watts, s.PowerFactor = v.Reading.Volts, v.Reading.Amps, v.Reading.Watts, v.Reading.PowerFactor
		s.AgeMS = v.Reading.Age(now).Milliseconds()
	}
	if !v.CelsiusAt.IsZero() && now.Sub(v.CelsiusAt) < thermometerStale {
		c := v.Celsius
		s.Celsius = &c
	}
	if v.Running {
		running := v.Session
		s.Session = &running
	}
	return s
}

func outletSummary(v *guard.OutletView) shedguard.OutletSummary {
	return shedguard.OutletSummary{
		Outlet: v.Outlet, State: v.State, Quality: v.Reading.Quality, Latched: v.Latched.List(),
	}
}

// summary is the shed in the retained status.
func (a *App) summary() []shedguard.OutletSummary {
	views := a.guard.Snapshot()
	s := make([]shedguard.OutletSummary, len(views))
	for i := range views {
		s[i] = outletSummary(&views[i])
	}
	return s
}

// told is what the retained status says of the shed. It waits for no disk: alarms
// wait behind it.
func (a *App) told() shedguard.Status {
	return shedguard.Status{
		Version: a.version, ConfigHash: a.hash, Clock: a.clock.Quality(), Outlets: a.summary(),
		Siren: a.guard.Siren(), Suppression: a.suppressionTold(),
	}
}

// lastTick is when the guard completed its last tick.
func (a *App) lastTick() time.Time {
	s := a.guard.Stats()
	if s.Ticks == 0 {
		return time.Time{}
	}
	return time.Now().Add(-s.LastTick)
}

func number(bit bool) float64 {
	if bit {
		return 1
	}
	return 0
}

// metrics are the values that the state does not have.
func (a *App) metrics() []status.Metric {
	counter := func(name, help string, v func() float64) status.Metric {
		return status.Metric{Name: name, Help: help, Counter: true, Value: v}
	}
	gauge := func(name, help string, v func() float64) status.Metric {
		return status.Metric{Name: name, Help: help, Value: v}
	}
	m := []status.Metric{
		counter("guard_ticks_total", "Completed ticks of the guard.", func() float64 { return float64(a.guard.Stats().Ticks) }),
		gauge("guard_tick_max_seconds", "Longest tick since the start.", func() float64 { return a.guard.Stats().TickMax.Seconds() }),
		gauge("sample_to_relay_max_seconds", "Longest time from a sample on the bus to the confirmed relay that it opened.", func() float64 { return a.guard.Stats().RelayMax.Seconds() }),
		counter("samples_dropped_total", "Samples that telemetry was too slow for.", func() float64 { return float64(a.guard.Stats().SamplesDropped) }),
		counter("changes_deferred_total", "Changes that were told later because their queue was full.", func() float64 { return float64(a.guard.Stats().Deferred) }),
		counter("changes_missed_total", "Relay operations and session steps that were lost while their queue was full.", func() float64 { return float64(a.guard.Stats().Missed) }),
		counter("uplink_connects_total", "Connections that the broker accepted.", func() float64 { return float64(a.uplink.Stats().Connects) }),
		counter("uplink_attempts_total", "Attempts to connect to the broker.", func() float64 { return float64(a.uplink.Stats().Attempts) }),
		counter("uplink_acked_total", "Alarms and events that the collector said it has committed.", func() float64 { return float64(a.uplink.Stats().Acked) }),
		counter("uplink_resent_total", "Alarms and events sent again because the collector did not say so.", func() float64 { return float64(a.uplink.Stats().Resent) }),
		counter("uplink_commands_total", "Commands that were carried out or refused by the gateway's own state.", func() float64 { return float64(a.uplink.Stats().Commands) }),
		counter("uplink_commands_refused_total", "Commands refused as expired, repeated, malformed or not for this boot.", func() float64 { return float64(a.uplink.Stats().Refused) }),
		counter("uplink_garbage_total", "Payloads that could not be read.", func() float64 { return float64(a.uplink.Stats().Garbage) }),
		counter("uplink_overrun_total", "Messages that came faster than they could be taken.", func() float64 { return float64(a.uplink.Stats().Overrun) }),
		gauge("alarm_puback_seconds", "From the deciding sample of the last alarm raised to the broker's PUBACK.", func() float64 { return a.uplink.Stats().AlarmDelay.Seconds() }),
		gauge("outbox_alarm_records", "Records in the alarm lane.", func() float64 { return float64(a.outbox.Stats().Alarms) }),
		gauge("outbox_telemetry_records", "Records in the telemetry lane.", func() float64 { return float64(a.outbox.Stats().Telemetry) }),
		gauge("outbox_telemetry_bytes", "Size of the telemetry lane.", func() float64 { return float64(a.outbox.Stats().TelemetryBytes) }),
		gauge("outbox_memory_only_records", "Alarm records that the disk refused.", func() float64 { return float64(a.outbox.Stats().MemoryOnly) }),
		counter("outbox_dropped_telemetry_total", "Telemetry records dropped, over all restarts.", func() float64 { return float64(a.outbox.Stats().DroppedTelemetry) }),
		counter("outbox_dropped_events_total", "Events that are no alarms dropped, over all restarts.", func() float64 { return float64(a.outbox.Stats().DroppedEvents) }),
		counter("outbox_bad_records_total", "Records whose checksum was wrong, over all restarts.", func() float64 { return float64(a.outbox.Stats().BadRecords) }),
		counter("outbox_set_aside_total", "Records that the broker refused for ever, over all restarts.", func() float64 { return float64(a.outbox.Stats().SetAside) }),
		counter("telemetry_lines_dropped_total", "Telemetry lines that the outbox did not take.", func() float64 { return float64(a.recorder.Stats().Dropped) }),
		counter("events_dropped_total", "Events given up because too many waited for the outbox.", func() float64 { return float64(a.alarms.Dropped()) }),
		gauge("calibrated_outlets", "Outlets whose meters follow a calibration.", func() float64 { return float64(a.calibrated) }),
		gauge("calibrations_refused", "Calibrations that were not applied: damaged, out of range, or of another meter.", func() float64 { return float64(a.refused) }),
		counter("part_restarts_total", "Restarts of parts behind the guard.", func() float64 { return float64(a.restarts.Load()) }),
	}
	if _, ok := a.guard.Feeder(); ok {
		m = append(m,
			gauge("feeder_watts", "Power that all outlets draw together.", func() float64 { v, _ := a.guard.Feeder(); return v.Drawn }),
			gauge("feeder_waiting_outlets", "Outlets that wait for room on the feeder.", func() float64 { v, _ := a.guard.Feeder(); return float64(v.Waiting) }),
			gauge("feeder_shed_outlets", "Outlets that were switched off because the feeder carried too much.", func() float64 { v, _ := a.guard.Feeder(); return float64(v.Shed) }),
		)
	}
	m = append(m, a.eyes.metrics()...)
	for name := range a.guard.Lines() {
		labels := map[string]string{"bus": name}
		m = append(m,
			status.Metric{Name: "bus_reads_total", Help: "Reads that were tried.", Counter: true, Labels: labels, Value: func() float64 { return float64(a.guard.Lines()[name].Reads) }},
			status.Metric{Name: "bus_errors_total", Help: "Reads that failed.", Counter: true, Labels: labels, Value: func() float64 { return float64(a.guard.Lines()[name].Errors) }},
			status.Metric{Name: "bus_late_total", Help: "Samples more than half a period late.", Counter: true, Labels: labels, Value: func() float64 { return float64(a.guard.Lines()[name].Late) }},
			status.Metric{Name: "bus_skipped_total", Help: "Reads of failing or slow chips that were left out for the sake of the others.", Counter: true, Labels: labels, Value: func() float64 { return float64(a.guard.Lines()[name].Skipped) }},
			status.Metric{Name: "bus_recoveries_total", Help: "Attempts to bring the bus back: opened again, muxes reset, muxes deselected.", Counter: true, Labels: labels, Value: func() float64 { return float64(a.guard.Lines()[name].Recoveries) }},
			status.Metric{Name: "bus_healed_total", Help: "Attempts after which the bus answered.", Counter: true, Labels: labels, Value: func() float64 { return float64(a.guard.Lines()[name].Healed) }},
			status.Metric{Name: "bus_fault", Help: "1 while the bus is at fault.", Labels: labels, Value: func() float64 { return number(a.guard.Lines()[name].Fault != "") }},
			status.Metric{Name: "bus_failing_chips", Help: "Chips whose last read failed.", Labels: labels, Value: func() float64 { return float64(a.guard.Lines()[name].Failing) }},
			status.Metric{Name: "bus_frozen_meters", Help: "Meters whose register words do not change while a current flows.", Labels: labels, Value: func() float64 { return float64(a.guard.Lines()[name].Frozen) }},
			status.Metric{Name: "bus_busy_seconds_total", Help: "Time that reads took: its rate is the use of the bus.", Counter: true, Labels: labels, Value: func() float64 { return a.guard.Lines()[name].Busy.Seconds() }},
			status.Metric{Name: "bus_late_max_seconds", Help: "Longest time after it was due that a sample began.", Labels: labels, Value: func() float64 { return a.guard.Lines()[name].LateMax.Seconds() }},
			status.Metric{Name: "bus_read_max_seconds", Help: "Longest read since the start.", Labels: labels, Value: func() float64 { return a.guard.Lines()[name].ReadMax.Seconds() }},
		)
	}
	return m
}
