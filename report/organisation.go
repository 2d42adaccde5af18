package report

import (
	"fmt"
	"os"

	"go.yaml.in/yaml/v4"
)

// Organisation is what neither the policy nor the log can know: who answers for
// the processing, and to whom data goes. All of it may be missing; reports then
// show where.
type Organisation struct {
	Name           string   `yaml:"name" json:"name,omitempty"` // of the controller
	Address        string   `yaml:"address" json:"address,omitempty"`
	Contact        string   `yaml:"contact" json:"contact,omitempty"`
	Joint          string   `yaml:"joint_controller" json:"joint_controller,omitempty"`
	Representative string   `yaml:"representative" json:"representative,omitempty"`
	DPO            Person   `yaml:"dpo" json:"dpo"`
	Authority      string   `yaml:"authority" json:"authority,omitempty"` // that is competent
	Zone           string   `yaml:"time_zone" json:"time_zone,omitempty"`
	Regimes        []string `yaml:"regimes" json:"regimes,omitempty"` // ids of those that apply; absent: all that are known

	Kinds      map[string]string `yaml:"subjects" json:"subjects,omitempty"` // what to call each kind of data subjects
	Recipients []Recipient       `yaml:"recipients" json:"recipients,omitempty"`
	Transfers  []Transfer        `yaml:"transfers" json:"transfers,omitempty"`
	Measures   []string          `yaml:"measures" json:"measures,omitempty"`
	Erasure    []string          `yaml:"erasure" json:"erasure,omitempty"` // time limits that the policy does not know

	Sources   []string `yaml:"sources" json:"sources,omitempty"`                         // of data that its subjects did not provide
	Automated string   `yaml:"automated_decisions" json:"automated_decisions,omitempty"` // whether there are any, how they are made and what follows
}

// Person is somebody to ask.
type Person struct {
	Name  string `yaml:"name" json:"name,omitempty"`
	Email string `yaml:"email" json:"email,omitempty"`
	Phone string `yaml:"phone" json:"phone,omitempty"`
}

// Recipient is to whom data is disclosed, and how that shows in the access log.
type Recipient struct {
	Name         string   `yaml:"name" json:"name"`
	About        string   `yaml:"about" json:"about,omitempty"`
	Logins       []string `yaml:"logins" json:"logins,omitempty"`
	Applications []string `yaml:"applications" json:"applications,omitempty"` // application_name
}

// Transfer is one to a third country or an international organisation.
type Transfer struct {
	To         string `yaml:"to" json:"to"`
	Safeguards string `yaml:"safeguards" json:"safeguards,omitempty"`
}

// LoadOrganisation reads the file; "" is none.
func LoadOrganisation(path string) (Organisation, error) {
	if path == "" {
		return Organisation{}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Organisation{}, fmt.Errorf("organisation: %w", err)
	}
	var o Organisation
	if err := yaml.Load(text, &o, yaml.WithKnownFields()); err != nil {
		return Organisation{}, fmt.Errorf("organisation: %s: %w", path, err)
	}
	return o, nil
}

// String gives a person in a line.
func (p Person) String() string {
	s := p.Name
	for _, more := range []string{p.Email, p.Phone} {
		if more != "" && s != "" {
			s += ", "
		}
		s += more
	}
	return s
}

// kind is what the organisation calls a kind of data subjects.
func (o *Organisation) kind(name string) string {
	switch {
	case o.Kinds[name] != "":
		return o.Kinds[name]
	case name == "":
		return "kind not recorded"
	default:
		return name
	}
}
