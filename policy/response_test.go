package policy

import (
	"reflect"
	"testing"
	"time"
)

func TestParseResponse(t *testing.T) {
	for text, want := range map[string]Response{
		"alert":                  {},
		"slow":                   {Slow: true},
		"step-up":                {StepUp: true},
		"end":                    {End: true},
		"quarantine":             {Quarantines: []Quarantine{{Who: TargetUser}}},
		"quarantine 24h":         {Quarantines: []Quarantine{{TargetUser, 24 * time.Hour}}},
		"quarantine login":       {Quarantines: []Quarantine{{Who: TargetLogin}}},
		"quarantine address 30m": {Quarantines: []Quarantine{{TargetAddress, 30 * time.Minute}}},
	} {
		var got Response
		if err := parseResponse(text, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "alarm", "slow 3s", "quarantine never", "quarantine -1h", "quarantine 0s", "quarantine 9000h", "quarantine address 1h 2h", "quarantine everybody"} {
		if err := parseResponse(text, &Response{}); err == nil {
			t.Errorf("%q is read as a response", text)
		}
	}
}
