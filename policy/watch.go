package policy

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"
)

// Signal is something in how somebody behaves that is watched for. The zero
// Signal is none.
type Signal uint8

// What is watched for.
const (
	WatchInjections    Signal = iota + 1 // statements that input has changed
	WatchRefusals                        // refused statements in series
	WatchErrors                          // errors in series, of the kinds that tell of values and names
	WatchGuesses                         // conditions on hidden values in series, which mostly miss
	WatchEnumeration                     // subjects read one by one, by keys that follow on each other
	WatchNewTables                       // tables that the user has never used
	WatchVolume                          // more subjects than the user reads otherwise
	WatchHours                           // an hour at which the user never works
	WatchClients                         // one user from several networks at a time
	WatchApplications                    // one user by several applications at a time
	WatchNewNetworks                     // a login that acts for others, from where it never came
	WatchLoginFailures                   // logins that fail in series
	Signals
)

var signalNames = [Signals]string{
	"", "injections", "refusals", "errors", "guesses", "enumeration", "new_tables", "volume", "hours",
	"clients", "applications", "new_networks", "login_failures",
}

func (s Signal) String() string {
	if s == 0 || s >= Signals {
		return "none"
	}
	return signalNames[s]
}

// Threshold is when a signal counts, and what is done then.
type Threshold struct {
	Off    bool
	Most   int           // more than that many
	Within time.Duration // in that time
	After  int           // days of history that there must be
	Times  int           // as many times the usual spread above the usual
	Except []string      // roles of which it is not watched for
	Then   Response
}

// Watch is what is watched for, by signal. The zero Watch alerts of nearly
// everything; a policy that says nothing has usualWatch.
type Watch [Signals]Threshold

// usualWatch tells of all signals and does nothing more about them. A usual
// working day stays far below: TestWorkingDay in detect.
func usualWatch() Watch {
	return Watch{
		WatchRefusals:     {Most: 20, Within: 10 * time.Minute},
		WatchErrors:       {Most: 25, Within: 10 * time.Minute},
		WatchGuesses:      {Most: 25, Within: time.Hour},
		WatchEnumeration:  {Most: 50, Within: time.Hour},
		WatchNewTables:    {After: 10},
		WatchVolume:       {Most: 500, Times: 6, After: 7},
		WatchHours:        {After: 15},
		WatchClients:      {Most: 3, Within: time.Hour},
		WatchApplications: {Most: 5, Within: time.Hour},
		WatchNewNetworks:  {After: 7},
	}
}

// Watch gives what the policy watches for. It is shared: nobody changes it.
func (s *Set) Watch() *Watch { return &s.doc.watch }

// Exempt gives, as bits, the signals of which is not watched for those who have
// any of some roles.
func (w *Watch) Exempt(roles []string) (exempt uint32) {
	for s, t := range w {
		if t.Off || slices.ContainsFunc(t.Except, func(role string) bool { return slices.Contains(roles, role) }) {
			exempt |= 1 << s
		}
	}
	return exempt
}

// Bounds of what a policy may ask to be remembered.
const (
	maxWatched      = 100_000
	maxWatchWithin  = 24 * time.Hour
	maxHistory      = 35 // days
	maxEnumeration  = 200
	maxManyPlaces   = 16
	maxWatchedTimes = 1000
)

// watch reads the section that says what is watched for. What it does not name
// is as if there were none.
func (r *reader) watch(n *yaml.Node) {
	known := keys{}
	for s := WatchInjections; s < Signals; s++ {
		known[s.String()] = func(n *yaml.Node) { r.threshold(n, s) }
	}
	r.fields(n, "watch", known)
}

// threshold reads "off", or what is to be another than usual.
func (r *reader) threshold(n *yaml.Node, s Signal) {
	t := &r.doc.watch[s]
	if n.Kind == yaml.ScalarNode && n.Value == "off" {
		t.Off = true
		return
	}
	most := maxWatched
	switch s {
	case WatchEnumeration:
		most = maxEnumeration
	case WatchClients, WatchApplications:
		most = maxManyPlaces
	}
	all := keys{
		"more_than": func(n *yaml.Node) { t.Most = r.whole(n, most) },
		"within":    func(n *yaml.Node) { t.Within = r.within(n) },
		"after":     func(n *yaml.Node) { t.After = r.whole(n, maxHistory) },
		"times":     func(n *yaml.Node) { t.Times = r.whole(n, maxWatchedTimes) },
	}
	known := keys{
		"then":   func(n *yaml.Node) { t.Then = r.response(n) },
		"except": func(n *yaml.Node) { r.excepted(n, t) },
	}
	for key, read := range maps.All(all) {
		if usual := usualWatch()[s]; key == "more_than" && usual.Most > 0 || key == "within" && usual.Within > 0 ||
			key == "after" && usual.After > 0 || key == "times" && usual.Times > 0 {
			known[key] = read
		}
	}
	if s == WatchLoginFailures {
		delete(known, "except") // who fails to log in has no roles
	}
	r.fields(n, "a signal", known)
}

func (r *reader) excepted(n *yaml.Node, t *Threshold) {
	words := r.words(n, "a role")
	r.doc.excepted = append(r.doc.excepted, words...)
	for _, w := range words {
		t.Except = append(t.Except, w.text)
	}
}

// whole reads a whole number from 1.
func (r *reader) whole(n *yaml.Node, most int) int {
	w := r.text(n, "a number")
	v, err := strconv.Atoi(w.text)
	if w.text != "" && (err != nil || v < 1 || v > most) {
		r.add(w.pos, "%q is not a whole number from 1 to %d", w.text, most)
	}
	return v
}

func (r *reader) within(n *yaml.Node) time.Duration {
	w := r.text(n, "a time")
	d, err := time.ParseDuration(w.text)
	if w.text != "" && (err != nil || d < time.Second || d > maxWatchWithin) {
		r.add(w.pos, "%q is not a time from 1s to 24h, as 10m or 1h", w.text)
	}
	return d
}

// watch checks the roles that are excepted.
func (c *compiler) watch() { defined(c, "role", c.doc.excepted, c.doc.roles) }
