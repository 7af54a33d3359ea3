package sim

import (
	"bytes"
	_ "embed" // the configuration's template
	"fmt"
	"strconv"
	"text/template"
)

//go:embed gateway.yaml.tmpl
var configTemplate string

// Settings are what differs between the configurations of simulated sheds.
type Settings struct {
	Shed   string // id
	Broker string // URL
	// CAFile, CertFile and KeyFile are for a broker with TLS; empty leaves one out.
	CAFile, CertFile, KeyFile string
	Status                    string // address of the local page
	Dir                       string // of what must survive a restart
	Profile                   string // of every outlet
	// Camera is the address of a camera over the second zone, and Vision the program
	// that watches it; empty where there is none.
	Camera, Vision string
	// Suppression is an output for a suppression agent. Every pin of the board is
	// wired: it takes that of the second zone's smoke contact.
	Suppression bool
}

// zones are the fire zones, each of the outlets behind one mux.
func zones() [2]string { return [2]string{"bay-1", "bay-2"} }

// Config is the configuration of a gateway that is wired to the simulated
// shed, in the form of the file that an installer writes.
func Config(s Settings) ([]byte, error) {
	t, err := template.New("gateway.yaml").Funcs(template.FuncMap{"quote": strconv.Quote}).Parse(configTemplate)
	if err != nil {
		return nil, fmt.Errorf("simulated configuration: %w", err)
	}
	type outlet struct {
		Number, Port, Meter, Probe, Pin int
		Mux, Zone                       string
	}
	type contact struct {
		Zone string
		Pin  int
	}
	data := struct {
		Settings
		Bus               string
		Relay             int
		Mux1, Mux2        int
		SirenPin, LampPin int
		AgentPin          int
		CameraZone        string
		Outlets           []outlet
		Contacts          []contact
	}{Settings: s, Bus: BusName, Relay: RelayAddress, Mux1: FirstMux, Mux2: SecondMux, SirenPin: SirenPin, LampPin: LampPin, AgentPin: AgentPin, CameraZone: zones()[1]}
	for i := range Outlets {
		side := i / perMux
		data.Outlets = append(data.Outlets, outlet{
			Number: i + 1, Port: i % perMux, Meter: FirstMeter + side, Probe: FirstSocket + side, Pin: i,
			Mux: []string{"left", "right"}[side], Zone: zones()[side],
		})
	}
	for i, zone := range zones() {
		if s.Suppression && FirstContact+i == AgentPin {
			continue
		}
		data.Contacts = append(data.Contacts, contact{zone, FirstContact + i})
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("simulated configuration: %w", err)
	}
	return b.Bytes(), nil
}
