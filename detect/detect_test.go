package detect

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// usual is what a policy watches for that says nothing of it.
func usual(t testing.TB) *policy.Watch {
	t.Helper()
	d, err := policy.Parse(policy.File{Name: "a.yaml", Text: "version: 1"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := policy.Compile(d, catalog.New(catalog.Parts{}))
	if err != nil {
		t.Fatal(err)
	}
	return s.Watch()
}

// scene is a detector, and a clock that scenes turn.
type scene struct {
	t     testing.TB
	d     *Detector
	watch *policy.Watch
	now   time.Time
	found []Finding
}

func newScene(t testing.TB) *scene {
	return &scene{t: t, d: New(1000), watch: usual(t), now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
}

func (s *scene) who(user string) Who { return Who{At: s.now, User: user} }

func (s *scene) statement(user string, st Statement) {
	st.Who = s.who(user)
	s.found = append(s.found, s.d.Statement(s.watch, &st)...)
}

// reads gives a user the rows of customers.
func (s *scene) reads(user string, ids ...int64) {
	hashes := make([]uint64, len(ids))
	for i, id := range ids {
		hashes[i] = Hash("customer", strconv.FormatInt(id, 10))
	}
	s.found = append(s.found, s.d.Met(s.watch, s.who(user), hashes)...)
	st := Statement{Tables: customers, Rows: int64(len(ids)), Kind: "customer"}
	if len(ids) == 1 {
		st.ByKey, st.Key = true, ids[0]
	}
	s.statement(user, st)
}

var (
	customers = []string{"crm.customers"}
	orders    = []string{"crm.orders", "crm.customers"}
	tickets   = []string{"crm.tickets"}
)

// learns gives a user a history of working days that are alike: some subjects a
// day, from 8 to 17 o'clock.
func (s *scene) learns(user string, days, subjects int) {
	s.statement(user, Statement{})
	users, since := s.d.Unread(1000, s.now)
	if !slices.Contains(users, user) || since != s.now.AddDate(0, 0, -35).Format(time.DateOnly) {
		s.t.Fatalf("histories wanted: %v since %s", users, since)
	}
	var history []Habit
	for i := range days {
		at := s.now.AddDate(0, 0, -1-i)
		history = append(history, Habit{User: user, Day: at.Format(time.DateOnly), Subjects: subjects + (i%5-2)*subjects/10, Peak: subjects / 4, Hours: 1<<18 - 1<<8,
			Tables: slices.Concat(customers, orders, tickets), Networks: []string{"10.1.2.0/24"}})
	}
	s.d.Learn(users, history)
}

// signals gives what was found, by user.
func (s *scene) signals() []string {
	var all []string
	for _, f := range s.found {
		all = append(all, f.Event.User+" "+f.Signal.String())
	}
	return all
}

func (s *scene) want(signals ...string) {
	s.t.Helper()
	if got := s.signals(); !slices.Equal(got, signals) {
		s.t.Errorf("found %q, want %q", got, signals)
	}
	for _, f := range s.found {
		if f.Event.Message == "" || f.Event.Severity == 0 || f.Event.Name != "watch_"+f.Signal.String() {
			s.t.Errorf("%+v", f.Event)
		}
	}
}

// TestWorkingDay has support agents work for twenty days, each in another way,
// with all signals on: nobody is told of anything.
func TestWorkingDay(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(1, seed))
		s := newScene(t)
		s.learns("alice", 20, 150)
		for range 20 {
			s.now = time.Date(s.now.Year(), s.now.Month(), s.now.Day()+1, 8, r.IntN(60), 0, 0, time.UTC)
			s.workingDay(r, "alice")
		}
		s.want()
	}
}

// workingDay is some 300 statements in nine hours: 150 customers in pages of
// lists and by key, of a base of 20,000; searches of which many meet nothing;
// slips of the keyboard; what is refused; and a list for a mailing.
func (s *scene) workingDay(r *rand.Rand, user string) {
	address := "10.1.2." + strconv.Itoa(r.IntN(250))
	for range 4 {
		s.found = append(s.found, s.d.Login(s.watch, &Login{Who: s.who(user), Addr: address, App: "crm"})...)
	}
	for range 300 {
		s.now = s.now.Add(time.Duration(r.IntN(200)) * time.Second)
		switch n := r.IntN(100); {
		case n < 30: // a customer, then the orders
			id := r.Int64N(20_000)
			s.reads(user, id)
			s.statement(user, Statement{Tables: orders, Rows: int64(r.IntN(9))})
		case n < 33: // a page of customers who registered one after the other, some opened in their order
			first := r.Int64N(20_000)
			s.reads(user, first, first+1, first+2, first+3, first+4, first+5, first+6, first+7, first+8, first+9)
			for i := range r.Int64N(8) {
				s.reads(user, first+i)
			}
		case n < 50:
			s.statement(user, Statement{Tables: customers, Guess: true, Rows: int64(r.IntN(2))})
		case n < 52:
			s.statement(user, Statement{Code: []string{"42601", "42703", "22P02"}[r.IntN(3)]})
		case n < 54:
			s.statement(user, Statement{Refused: true, Code: "42501"})
		default:
			s.statement(user, Statement{Tables: tickets, Rows: 20})
		}
	}
	list := make([]int64, 120)
	for i := range list {
		list[i] = r.Int64N(20_000)
	}
	s.reads(user, list...)
}

// TestAttacks plays each attack from its beginning: what is found, and that it is
// found once.
func TestAttacks(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(s *scene)
		want []string
	}{
		{"probing", func(s *scene) {
			for range 40 {
				s.now = s.now.Add(5 * time.Second)
				s.statement("eve", Statement{Refused: true, Code: "42501"})
			}
		}, []string{"eve refusals"}},
		{"probing what the server refuses", func(s *scene) {
			for range 21 {
				s.statement("eve", Statement{Code: "42501"})
			}
		}, []string{"eve refusals"}},
		{"errors as answers", func(s *scene) {
			for i := range 60 {
				s.now = s.now.Add(3 * time.Second)
				s.statement("eve", Statement{Code: []string{"22012", "", "22P02", "54001", "XX000"}[i%5]})
			}
		}, []string{"eve errors"}},
		{"errors that tell nothing", func(s *scene) {
			for range 200 {
				s.statement("eve", Statement{Code: "40001"})
			}
		}, nil},
		{"slowly failing", func(s *scene) {
			for range 200 {
				s.now = s.now.Add(time.Minute)
				s.statement("eve", Statement{Code: "42601"})
			}
		}, nil},
		{"guessing e-mail addresses", func(s *scene) {
			for i := range 100 {
				s.now = s.now.Add(20 * time.Second)
				s.statement("eve", Statement{Tables: customers, Guess: true, Rows: int64((i % 10) / 9)})
			}
		}, []string{"eve guesses"}},
		{"knowing e-mail addresses", func(s *scene) {
			for i := range 500 {
				s.now = s.now.Add(5 * time.Second)
				s.statement("crm", Statement{Tables: customers, Guess: true, Rows: int64(i % 2)})
			}
		}, nil},
		{"counting up", func(s *scene) {
			for i := range int64(80) {
				s.now = s.now.Add(10 * time.Second)
				s.reads("eve", 5000+i)
			}
		}, []string{"eve enumeration"}},
		{"counting down by threes", func(s *scene) {
			for i := range int64(80) {
				s.now = s.now.Add(10 * time.Second)
				s.reads("eve", 5000-3*i)
			}
		}, []string{"eve enumeration"}},
		{"counting by thousands", func(s *scene) {
			for i := range int64(40) {
				s.now = s.now.Add(10 * time.Second)
				s.reads("eve", 1000*i)
			}
		}, []string{"eve enumeration"}},
		{"counting up in four sessions that start apart", func(s *scene) {
			for i := range int64(60) {
				for session := range int64(4) {
					s.now = s.now.Add(5 * time.Second)
					s.reads("eve", 10_000*session+i)
				}
			}
		}, []string{"eve enumeration"}},
		{"a range in an order of chance", func(s *scene) {
			for _, i := range rand.New(rand.NewPCG(3, 4)).Perm(150) {
				s.now = s.now.Add(10 * time.Second)
				s.reads("eve", 7000+int64(i))
			}
		}, []string{"eve enumeration"}},
		{"counting up under others' keys", func(s *scene) {
			r := rand.New(rand.NewPCG(5, 6))
			for i := range int64(80) {
				for range 3 {
					s.reads("eve", r.Int64N(1_000_000))
				}
				s.now = s.now.Add(10 * time.Second)
				s.reads("eve", 2_000_000+i)
			}
		}, []string{"eve enumeration"}},
		{"the same customers again and again", func(s *scene) {
			for i := range int64(2000) {
				s.reads("crm", 100+i%40)
			}
		}, nil},
		{"a table never used", func(s *scene) {
			s.learns("alice", 15, 100)
			s.statement("alice", Statement{Tables: []string{"crm.cards"}})
			s.statement("alice", Statement{Tables: []string{"crm.cards"}})
			s.statement("alice", Statement{Tables: customers})
		}, []string{"alice new_tables"}},
		{"a table that was used before the history was read", func(s *scene) {
			s.statement("alice", Statement{Tables: []string{"crm.cards"}})
			s.learns("alice", 15, 100)
			s.statement("alice", Statement{Tables: customers})
		}, []string{"alice new_tables"}},
		{"a table that another proxy saw", func(s *scene) {
			s.learns("alice", 15, 100)
			s.d.Learn([]string{"alice"}, []Habit{{User: "alice", Tables: []string{"crm.cards"}}})
			s.statement("alice", Statement{Tables: []string{"crm.cards"}})
		}, nil},
		{"a new colleague's tables", func(s *scene) {
			s.learns("alice", 9, 100)
			s.statement("alice", Statement{Tables: []string{"crm.cards"}})
		}, nil},
		{"the customer base in pages", func(s *scene) {
			s.learns("alice", 21, 180)
			page := make([]int64, 50)
			for i := range int64(80) {
				for j := range page {
					page[j] = 50*i + int64(j)
				}
				s.now = s.now.Add(time.Minute)
				s.reads("alice", page...)
			}
		}, []string{"alice volume"}},
		{"an export within ten minutes", func(s *scene) {
			s.learns("alice", 21, 1800) // 450 in an hour
			for i := range int64(3000) {
				s.reads("alice", i*77)
			}
		}, []string{"alice enumeration", "alice volume"}},
		{"much, as always", func(s *scene) {
			s.learns("batch", 21, 4000)
			for i := range int64(4400) {
				s.now = s.now.Add(6 * time.Second)
				s.reads("batch", i*i%1_000_003, 2_000_000+i*i%999_983)
				s.found = slices.DeleteFunc(s.found, func(f Finding) bool { return f.Signal == policy.WatchHours })
			}
		}, nil},
		{"a newcomer reads more than anybody", func(s *scene) {
			s.learns("bob", 20, 400)
			s.learns("mallory", 0, 0)
			for i := range int64(1500) {
				s.reads("mallory", i*i%999_983, i*i%999_983+1)
			}
		}, []string{"mallory volume"}},
		{"without any history", func(s *scene) {
			for i := range int64(3000) {
				s.reads("eve", i*i%999_983, i*i%999_983+1)
			}
		}, nil},
		{"at night", func(s *scene) {
			s.learns("alice", 20, 100)
			s.now = s.now.Add(18 * time.Hour)
			s.statement("alice", Statement{Tables: customers})
			s.statement("alice", Statement{Tables: customers})
		}, []string{"alice hours"}},
		{"an hour late", func(s *scene) {
			s.learns("alice", 20, 100)
			s.now = s.now.Add(9 * time.Hour)
			s.statement("alice", Statement{Tables: customers})
		}, nil},
		{"from everywhere", func(s *scene) {
			for i := range 6 {
				s.found = append(s.found, s.d.Login(s.watch, &Login{Who: s.who("alice"), Addr: fmt.Sprintf("198.51.%d.7", i), App: "psql"})...)
			}
		}, []string{"alice clients"}},
		{"by every tool", func(s *scene) {
			for i := range 8 {
				s.found = append(s.found, s.d.Login(s.watch, &Login{Who: s.who("alice"), Addr: "192.0.2.7", App: fmt.Sprint("tool", i)})...)
			}
		}, []string{"alice applications"}},
		{"a service from elsewhere", func(s *scene) {
			s.learns("crm_app", 20, 100)
			for _, addr := range []string{"10.1.2.9", "203.0.113.5", "203.0.113.6"} {
				s.found = append(s.found, s.d.Login(s.watch, &Login{Who: s.who("crm_app"), Addr: addr, Acts: true})...)
			}
		}, []string{"crm_app new_networks"}},
		{"a service in many places", func(s *scene) {
			for i := range 50 {
				s.found = append(s.found, s.d.Login(s.watch, &Login{Who: s.who("crm_app"), Addr: fmt.Sprintf("10.%d.0.1", i), App: fmt.Sprint("pod", i), Acts: true})...)
			}
		}, nil},
		{"injected", func(s *scene) {
			for range 5 {
				s.found = append(s.found, s.d.Injected(s.watch, s.who("crm_app"), []string{"tautology", "comment"})...)
			}
		}, []string{"crm_app injections"}},
		{"excepted", func(s *scene) {
			for i := range int64(80) {
				w := s.who("sync")
				w.Exempt = 1 << policy.WatchEnumeration
				s.found = append(s.found, s.d.Statement(s.watch, &Statement{Who: w, ByKey: true, Kind: "customer", Key: i, Rows: 1})...)
			}
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			tt.play(s)
			s.want(tt.want...)
		})
	}
}

func TestVolumeExplains(t *testing.T) {
	s := newScene(t)
	s.learns("alice", 21, 180)
	for i := range int64(800) {
		s.now = s.now.Add(30 * time.Second)
		s.reads("alice", i*i%999_983)
	}
	if len(s.found) != 1 || !regexp.MustCompile(`^about 50\d subjects today; median of 21 days 180, MAD 18$`).MatchString(s.found[0].Event.Message) {
		t.Errorf("found %+v", s.found)
	}
}

func TestAgainLater(t *testing.T) {
	s := newScene(t)
	for range 3 {
		for range 30 {
			s.statement("eve", Statement{Refused: true})
		}
		s.now = s.now.Add(time.Hour)
	}
	s.want("eve refusals", "eve refusals", "eve refusals")
}

func TestRemembersSoMany(t *testing.T) {
	s := newScene(t)
	for i := range 5000 {
		s.now = s.now.Add(time.Second)
		s.statement(fmt.Sprint("made up ", i), Statement{})
		s.statement("alice", Statement{Refused: i%300 == 0}) // at work all the time
	}
	if len(s.d.people) != 1000 || s.d.people["alice"] == nil {
		t.Errorf("%d people are remembered; alice: %v", len(s.d.people), s.d.people["alice"] != nil)
	}
	if s.d.Forgotten() != 4001 {
		t.Errorf("%d were forgotten", s.d.Forgotten())
	}
	if users, _ := s.d.Unread(1e6, s.now); len(users) > maxUnread {
		t.Errorf("%d histories are wanted", len(users))
	}
}
