// Package recording reads what a meter or a smart plug once recorded, one
// sample after the other, in the shapes that people have: plain CSV, and the
// exports of Tasmota, Shelly (second generation and later) and Home Assistant.
//
// # Model
//
// [Open] looks at the beginning of a file, or is told its [Format], and returns
// a [Reader] whose Next gives the samples in the order of time. What the file
// does not say is NaN: nothing is made up here. A fault in a file is an
// [Error] that names the line, the column, what stood there and what may.
//
// # Formats
//
//   - csv: a header row with time_s (seconds, any zero) and any of volts, amps,
//     watts; volts_scaled, amps_scaled and watts_scaled stand in for them where
//     they are missing, other columns are ignored. An empty cell says nothing.
//   - tasmota: SENSOR telemetry, one JSON object a line, bare or behind a topic
//     or a log's time (tele/plug/SENSOR = {…}), also in a StatusSNS reply; or a
//     CSV with Time and any of Power, Voltage, Current, with or without ENERGY
//     before them. Time is the device's local time, as it stands.
//   - shelly: the CSV of /em1data/N/data.csv or /emdata/N/data.csv with keys,
//     the JSON of EM1Data.GetData or EMData.GetData, or one notification or
//     status a line (NotifyStatus with params.ts). Stored data are one minute
//     each: power is the minute's energy, the largest power and current of the
//     minute are peaks.
//   - homeassistant: the history download, entity_id,state,last_changed. Home
//     Assistant writes down changes, so a silence means "as before"; unavailable
//     and unknown mean that nothing is known.
//
// # Caveats
//
// Files are read as a stream and never held in memory, but for Home Assistant's:
// it writes one entity after the other, so its values (16 bytes each, at most
// [MaxHistoryRows]) are sorted by time first.
//
// Of a meter with several phases or channels one is read, the first unless
// [Options].Channel says which.
package recording
