package config

import (
	"strconv"
	"time"

	"github.com/shedguard/shedguard"
)

// Config is the configuration of one gateway.
type Config struct {
	Shed          string         `yaml:"shed" kind:"shed" doc:"Identity of this shed: MQTT client id, topic level and common name of the certificate."`
	Uplink        Uplink         `yaml:"uplink" doc:"The way to the collector."`
	Buses         []Bus          `yaml:"buses" least:"1" doc:"The I2C buses of the box."`
	Muxes         []Mux          `yaml:"muxes,omitempty" doc:"I2C switches between a bus and its chips."`
	Relays        []Expander     `yaml:"relays" least:"1" doc:"Expanders whose pins drive relays, siren and lamp."`
	Outlets       []Outlet       `yaml:"outlets" least:"1" doc:"The outlets of the shed."`
	Feeder        *Feeder        `yaml:"feeder,omitempty" doc:"What the cable and the breaker of the whole shed carry; leave out only where the outlets together cannot exceed it."`
	Siren         *Pin           `yaml:"siren,omitempty" doc:"Output of the siren; leave out when there is none."`
	Lamp          *Pin           `yaml:"lamp,omitempty" doc:"Output of the fault lamp; leave out when there is none."`
	Suppression   *Suppression   `yaml:"suppression,omitempty" doc:"Output that releases a suppression agent; leave out when there is none."`
	SmokeContacts []SmokeContact `yaml:"smoke_contacts,omitempty" doc:"Relay contacts of smoke detectors."`
	Cameras       []Camera       `yaml:"cameras,omitempty" doc:"Cameras that look for flame and smoke; leave out where there are none."`
	Vision        Vision         `yaml:"vision" doc:"How cameras are watched."`
	Fire          Fire           `yaml:"fire" doc:"When the senses of a zone make a fire, and what that cuts."`
	Actuate       Actuate        `yaml:"actuate" doc:"How power is cut when the program cannot cut it any more."`
	Alarms        Alarms         `yaml:"alarms" doc:"How alarms that come and go are kept from filling inboxes."`
	Poll          Poll           `yaml:"poll" doc:"How often the chips are read."`
	Telemetry     Telemetry      `yaml:"telemetry" doc:"What is sent as time series."`
	Outbox        Outbox         `yaml:"outbox" doc:"The queue on disk that keeps what could not be sent."`
	State         State          `yaml:"state" doc:"What must survive a restart."`
	Status        Status         `yaml:"status" doc:"The local page, metrics and health check."`
	Clock         Clock          `yaml:"clock" doc:"Whether the wall clock can be trusted."`
}

// Uplink is the way to the collector.
type Uplink struct {
	Broker       string `yaml:"broker" kind:"broker" doc:"MQTT broker, mqtts://host:8883 or mqtt://host:1883, without user or password."`
	CAFile       string `yaml:"ca_file,omitempty" kind:"file" doc:"PEM file of the authority that signed the broker's certificate; the system's authorities when left out."`
	CertFile     string `yaml:"cert_file,omitempty" kind:"file" doc:"PEM file of this gateway's certificate, common name = shed id."`
	KeyFile      string `yaml:"key_file,omitempty" kind:"file" doc:"PEM file of the key of cert_file, readable by its owner only."`
	Username     string `yaml:"username,omitempty" doc:"User name, for brokers that ask for one."`
	PasswordFile string `yaml:"password_file,omitempty" kind:"file" doc:"File that holds the password of username, readable by its owner only."`
	RequireAck   bool   `yaml:"require_ack" doc:"Keep an alarm until the collector has committed it. False only for foreign consumers that never acknowledge."`
}

// Bus is one I2C bus of the box.
type Bus struct {
	Name string `yaml:"name" kind:"name" doc:"Name that the rest of the file uses."`
	Path string `yaml:"path" kind:"file" doc:"Device file, as /dev/i2c-1."`
	KHz  int    `yaml:"khz" min:"10" max:"1000" doc:"Clock of the bus in kHz as the board sets it; reading plans are checked against it."`
}

// Place is where a chip sits: on a bus, or behind a port of a mux.
type Place struct {
	Bus     string `yaml:"bus,omitempty" doc:"Name of the bus the chip sits on. Either bus, or mux and port."`
	Mux     string `yaml:"mux,omitempty" doc:"Name of the mux the chip sits behind."`
	Port    *int   `yaml:"port,omitempty" min:"0" max:"7" doc:"Port of the mux."`
	Address int    `yaml:"address" min:"0x08" max:"0x77" doc:"7-bit I2C address."`
}

// Mux is an I2C switch.
type Mux struct {
	Name    string `yaml:"name" kind:"name" doc:"Name that the rest of the file uses."`
	Chip    string `yaml:"chip" base:"sensors" enum:"pca9548" doc:"Part number."`
	Bus     string `yaml:"bus" doc:"Name of the bus it sits on."`
	Address int    `yaml:"address" min:"0x70" max:"0x77" doc:"7-bit I2C address."`
	Reset   string `yaml:"reset,omitempty" kind:"gpio" doc:"GPIO that is wired to the reset pin, low resets; muxes of one bus may share it. Leave out when there is none: then a chip behind the mux that holds the bus stops every outlet on it."`
}

// Expander is a chip whose pins drive relays.
type Expander struct {
	Name      string `yaml:"name" kind:"name" doc:"Name that outlets, siren and lamp use."`
	Chip      string `yaml:"chip" base:"sensors" enum:"mcp23017,pca9554,max7310,pcf8574" doc:"Part number."`
	Bus       string `yaml:"bus" doc:"Name of the bus it sits on. Never behind a mux: nothing may stand between the program and a relay that must open."`
	Address   int    `yaml:"address" min:"0x08" max:"0x77" doc:"7-bit I2C address: 0x20 to 0x27, other ones for a MAX7310."`
	ActiveLow bool   `yaml:"active_low" doc:"Whether a low pin closes the relay. Pins that nothing uses stay inputs."`
}

// Pin is one output of an expander.
type Pin struct {
	Name      string `yaml:"name" doc:"Name of the expander in relays."`
	Pin       int    `yaml:"pin" min:"0" max:"15" doc:"Pin: 0 to 7, or 0 to 15 where the chip has sixteen (MCP23017: GPA0 to GPA7 are 0 to 7, GPB0 to GPB7 are 8 to 15)."`
	ActiveLow *bool  `yaml:"active_low,omitempty" doc:"Overrides active_low of the expander for this pin."`
}

// SmokeContact is the contact of a smoke detector. It cuts by itself, without any
// other sense.
type SmokeContact struct {
	Zone           string             `yaml:"zone" kind:"name" doc:"Fire zone that the detector watches."`
	Name           string             `yaml:"name" doc:"Name of the expander in relays; the pin is an input of it, with a pull-up."`
	Pin            int                `yaml:"pin" min:"0" max:"15" doc:"Pin, counted as those of relays."`
	ActiveLow      bool               `yaml:"active_low" doc:"Whether a closed contact makes the pin low, as one to ground does."`
	NormallyClosed bool               `yaml:"normally_closed" doc:"Whether the contact opens for smoke. A broken wire then alarms; with a contact that closes for smoke it is never noticed."`
	Debounce       time.Duration      `yaml:"debounce" min:"100ms" max:"10s" doc:"How long it must say so without a break."`
	Severity       shedguard.Severity `yaml:"severity" doc:"Severity of its alarm (ITU-T X.733)."`
	Action         string             `yaml:"action" enum:"report,cut_zone,cut_shed" doc:"report: the alarm only. cut_zone, cut_shed: every outlet of the zone or the shed opens until a person resets it."`
}

// Outlet is one outlet of the shed.
type Outlet struct {
	Number      int          `yaml:"number" min:"1" max:"256" doc:"Number of the outlet, as printed on the box."`
	Profile     string       `yaml:"profile" base:"profiles" doc:"Set of defaults for rating_amps, start, limits and session."`
	Battery     string       `yaml:"battery" base:"batteries" doc:"What charges here: defaults of what depends on the battery. The profile names one."`
	Zone        string       `yaml:"zone,omitempty" kind:"name" doc:"Fire zone, the bays that are cut together."`
	RatingAmps  float64      `yaml:"rating_amps" min:"1" max:"63" doc:"Rated current of the outlet in A."`
	Start       string       `yaml:"start" enum:"plug,command" doc:"plug: fed once its self-checks pass, so that a plug-in can be sensed. command: fed by a start command only."`
	Meter       Meter        `yaml:"meter" doc:"The chip that measures the outlet."`
	Thermometer *Thermometer `yaml:"thermometer,omitempty" doc:"The chip that measures the outlet's temperature."`
	Relay       Pin          `yaml:"relay" doc:"The output that feeds the outlet."`
	Limits      Limits       `yaml:"limits" doc:"When the outlet is cut."`
	Session     Session      `yaml:"session" doc:"How a charging session is followed."`
	Charge      Charge       `yaml:"charge" doc:"How the curve of a charge is read."`
}

// Meter is the chip that measures an outlet. Several outlets may name one
// ADE7953, INA3221 or MAX34451, each with channels of its own.
type Meter struct {
	Chip         string `yaml:"chip" base:"sensors" enum:"acs37800,ade7953,adm1272,adm1275,adm1276,adm1278,ads1115,ina219,ina226,ina228,ina3221,max34451" doc:"Part number."`
	Place        `yaml:",inline"`
	Channel      Channel       `yaml:"channel,omitempty" enum:"a,b,1,2,3" doc:"ADE7953: current channel, a or b. INA3221: 1 to 3."`
	VoltsChannel *int          `yaml:"volts_channel,omitempty" min:"0" max:"15" doc:"MAX34451: channel that measures the voltage, RS0 to RS15. Outlets on one supply may name the same."`
	AmpsChannel  *int          `yaml:"amps_channel,omitempty" min:"0" max:"15" doc:"MAX34451: channel that measures the current, RS0 to RS15."`
	RangeAmps    int           `yaml:"range_amps,omitempty" enum:"30,90" doc:"ACS37800: current range of the part in A."`
	Divider      float64       `yaml:"divider,omitempty" min:"1" max:"100000" doc:"ACS37800, ADE7953: ratio of the voltage divider, (R_isolation + R_sense) / R_sense. ADS1115: mains volts for one volt at the input behind the voltage transformer."`
	AmpsPerVolt  float64       `yaml:"amps_per_volt,omitempty" min:"0.001" max:"1000000" doc:"ADE7953, ADS1115: current in A that makes one volt at the input: 1/R of a shunt, turns/R of a current transformer with its burden."`
	ShuntOhms    float64       `yaml:"shunt_ohms,omitempty" min:"0.00001" max:"1" doc:"ADM1272, ADM1275, ADM1276, ADM1278, INA219, INA226, INA228, INA3221: resistance of the shunt in ohms."`
	VoltsPGA     int           `yaml:"volts_pga,omitempty" enum:"1,2,4,8,16" doc:"ADE7953: gain of the amplifier of the voltage."`
	AmpsPGA      int           `yaml:"amps_pga,omitempty" enum:"1,2,4,8,16,22" doc:"ADE7953: gain of the amplifier of the current channel; 22 on channel a only."`
	VoltsInput   string        `yaml:"volts_input,omitempty" enum:"a0,a1,a2,a3,a0-a1,a0-a3,a1-a3,a2-a3" doc:"ADS1115: input of the voltage transformer."`
	AmpsInput    string        `yaml:"amps_input,omitempty" enum:"a0,a1,a2,a3,a0-a1,a0-a3,a1-a3,a2-a3" doc:"ADS1115: input of the current transformer."`
	VoltsRangeMV int           `yaml:"volts_range_mv,omitempty" enum:"6144,4096,2048,1024,512,256" doc:"ADS1115: full scale of volts_input in mV, bias included."`
	AmpsRangeMV  int           `yaml:"amps_range_mv,omitempty" enum:"6144,4096,2048,1024,512,256" doc:"ADS1115: full scale of amps_input in mV, bias included."`
	SupplyMV     int           `yaml:"supply_mv,omitempty" min:"2000" max:"5500" doc:"ADS1115: supply of the chip and of the circuit before it in mV, where a wave clips."`
	PhaseDegrees float64       `yaml:"phase_degrees,omitempty" min:"-90" max:"90" doc:"ADS1115: by how much the voltage signal is ahead of the current signal at a resistive load, in degrees."`
	Reversed     bool          `yaml:"reversed,omitempty" doc:"ADE7953, ADS1115: the current sensor is wired the other way round."`
	Every        time.Duration `yaml:"every,omitempty" min:"300ms" max:"1s" doc:"ADS1115: time between two measurements, in place of poll.hz. The bus does nothing else for 0.28 s of each, so that no other kind of meter may be on it."`
	Residual     *Residual     `yaml:"residual,omitempty" doc:"ADE7953: a transformer around all conductors of the outlet, on the current channel that no outlet uses; limits.residual_current needs it."`
	Alert        bool          `yaml:"alert" doc:"Program the chip's own limit of current from limits.short_circuit, for a board where its alert pin cuts the outlet without any software. The pin holds until the next reading, which then shows at least the limit. Not with ACS37800, ADS1115 and INA219."`
	Volts        Trim          `yaml:"volts" doc:"Calibration of the voltage."`
	Amps         Trim          `yaml:"amps" doc:"Calibration of the current."`
	Watts        Trim          `yaml:"watts" doc:"Calibration of the active power."`
	Frozen       Frozen        `yaml:"frozen" doc:"When register words that stay the same to the last bit are a fault of the meter."`
}

// Residual is a transformer that measures the current which does not come back.
type Residual struct {
	AmpsPerVolt float64 `yaml:"amps_per_volt" min:"0.001" max:"1000" doc:"Residual current in A that makes one volt at the input: turns/R of the transformer with its burden."`
	PGA         int     `yaml:"pga" enum:"1,2,4,8,16" doc:"Gain of the amplifier of that channel."`
}

// Frozen says when the words of a meter count as frozen.
type Frozen struct {
	Enabled   bool          `yaml:"enabled" doc:"Whether it is judged at all."`
	After     time.Duration `yaml:"after" min:"5s" max:"10m" doc:"How long every read must give the same words; longer where a step of the chip is large beside the noise of what it measures."`
	AboveAmps float64       `yaml:"above_amps" min:"0.01" max:"10" doc:"Least current in A for after."`
	AtRest    time.Duration `yaml:"at_rest,omitempty" min:"10s" max:"1h" doc:"The same for a mains meter with voltage but less current: frozen at rest it would not see the next load. Leave out for direct current, whose words may rest."`
}

// Channel is a channel of a chip as it is written on it: a letter or a number.
type Channel string

// MarshalYAML writes a number as one.
func (c Channel) MarshalYAML() (any, error) {
	if n, err := strconv.Atoi(string(c)); err == nil {
		return n, nil
	}
	return string(c), nil
}

// Trim is the calibration of one channel: true = gain x measured + offset.
type Trim struct {
	Gain   float64 `yaml:"gain" min:"0.5" max:"2" doc:"Factor; 1 before calibration."`
	Offset float64 `yaml:"offset" min:"-50" max:"50" doc:"Offset in V, A or W; 0 before calibration."`
}

// Thermometer is the chip that measures an outlet's temperature.
type Thermometer struct {
	Chip  string `yaml:"chip" base:"sensors" enum:"tmp102,lm75,lm75b,ds75,tmp75,tmp105" doc:"Part number."`
	Place `yaml:",inline"`
}

// Actuate says how power is cut when the program cannot.
type Actuate struct {
	EnableLine      string        `yaml:"enable_line,omitempty" kind:"gpio" doc:"GPIO that is toggled by every completed guard tick and feeds a retriggerable coil enable; leave out when the board has none."`
	Stagger         time.Duration `yaml:"stagger" min:"0s" max:"30s" doc:"Shortest time between two relays that close, so that inrush currents do not add up."`
	ClosingsPerHour int           `yaml:"closings_per_hour" min:"1" max:"120" doc:"How often one relay closes within an hour at most, to spare its contacts. Opening is never bounded."`
}

// Suppression is the output that releases a suppression agent.
type Suppression struct {
	Enabled bool          `yaml:"enabled" doc:"Whether a fire releases the agent. While false the output is wired and kept off."`
	Output  Pin           `yaml:"output" doc:"Output of the agent's valve or igniter."`
	Veto    time.Duration `yaml:"veto" min:"15s" max:"5m" doc:"Time from a fire on which two senses agree until the release, in which a person may veto; 15s is what sheds in the field have."`
	Release time.Duration `yaml:"release" min:"100ms" max:"10m" doc:"How long the output is on; as the maker of the agent says."`
}

// SuppressionOutput is where the suppression agent is wired; nil when there is
// none.
func (c *Config) SuppressionOutput() *Pin {
	if c.Suppression == nil {
		return nil
	}
	return &c.Suppression.Output
}

// Alarms says how alarms that come and go are told.
type Alarms struct {
	ReportAfter time.Duration `yaml:"report_after" min:"0s" max:"1m" doc:"How long a fault must stand before it is told, when it neither is critical nor made the gateway act."`
	ClearAfter  time.Duration `yaml:"clear_after" min:"0s" max:"10m" doc:"How long a fault must be gone before its alarm clears by itself; a reset by a person clears at once."`
	FlapCount   int           `yaml:"flap_count" min:"2" max:"50" doc:"How often a fault comes within flap_window until its alarm stays open and says so."`
	FlapWindow  time.Duration `yaml:"flap_window" min:"1m" max:"24h" doc:"Time within which it comes flap_count times."`
	FlapCalm    time.Duration `yaml:"flap_calm" min:"1m" max:"24h" doc:"How long it must be gone before such an alarm clears."`
}

// Poll says how often the chips are read.
type Poll struct {
	Hz               int           `yaml:"hz" min:"1" max:"50" doc:"Readings of each meter in a second."`
	ThermometerEvery time.Duration `yaml:"thermometer_every" min:"100ms" max:"10s" doc:"Time between two readings of a thermometer."`
}

// Telemetry says what is sent as time series.
type Telemetry struct {
	Window time.Duration `yaml:"window" min:"1s" max:"5m" doc:"Time over which mean and maximum are taken before one line is sent."`
}

// Outbox is the queue on disk.
type Outbox struct {
	MaxMB int `yaml:"max_mb" min:"8" max:"65536" doc:"Most that telemetry may take on disk in MiB; the oldest goes first."`
}

// State is what must survive a restart.
type State struct {
	Dir string `yaml:"dir" kind:"file" doc:"Folder of latches, sessions, alarm ids, heating images, clock floor and outbox."`
}

// Status is the local page.
type Status struct {
	Listen      string `yaml:"listen" kind:"listen" doc:"Address and port of page, /metrics, /healthz and /api/v1/state."`
	AllowRemote bool   `yaml:"allow_remote" doc:"Allow an address that other machines can reach. The page has no login."`
}

// Clock says whether the wall clock can be trusted.
type Clock struct {
	Source string `yaml:"source" enum:"kernel,trust" doc:"kernel: synced when the kernel says that a time source disciplines the clock. trust: always synced, for boxes with a battery clock that something else sets."`
}
