package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWatch(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		edit       func(*Watch)
	}{
		{"nothing is said", "", func(*Watch) {}},
		{"some is said", `
watch:
  refusals: {more_than: 5, within: 1m, then: [slow, quarantine 1h]}
  hours: off
  volume: {except: [a]}
  login_failures: {then: quarantine address 30m}
`, func(w *Watch) {
			w[WatchRefusals] = Threshold{Most: 5, Within: time.Minute, Then: Response{Slow: true, Quarantines: []Quarantine{{TargetUser, time.Hour}}}}
			w[WatchHours].Off = true
			w[WatchVolume].Except = []string{"a"}
			w[WatchLoginFailures].Then = Response{Quarantines: []Quarantine{{TargetAddress, 30 * time.Minute}}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := Parse(File{"a.yaml", "version: 1\nroles: {a: {}, b: {}}\n" + tt.text})
			if err != nil {
				t.Fatal(err)
			}
			s, err := Compile(d, crm())
			if err != nil {
				t.Fatal(err)
			}
			want := usualWatch()
			tt.edit(&want)
			if diff := cmp.Diff(&want, s.Watch()); diff != "" {
				t.Errorf("watched for (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWatchExempts(t *testing.T) {
	w := Watch{WatchHours: {Off: true}, WatchVolume: {Except: []string{"sync", "batch"}}}
	for _, tt := range []struct {
		roles []string
		want  uint32
	}{
		{nil, 1 << WatchHours},
		{[]string{"support"}, 1 << WatchHours},
		{[]string{"support", "batch"}, 1<<WatchHours | 1<<WatchVolume},
	} {
		if got := w.Exempt(tt.roles); got != tt.want {
			t.Errorf("Exempt(%v) = %b, want %b", tt.roles, got, tt.want)
		}
	}
}

func TestWatchUnknownRole(t *testing.T) {
	d, err := Parse(File{"a.yaml", "version: 1\nroles: {agent: {}}\nwatch: {hours: {except: agents}}"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = Compile(d, crm()); err == nil || err.Error() != `a.yaml:3:25: unknown role "agents"; did you mean "agent"?` {
		t.Errorf("got %v", err)
	}
}
