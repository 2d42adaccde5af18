package ship

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestHTTPFaults has servers that fail in every way that they can. In the end
// each has everything; what it says is read within bounds, and a redirect is not
// followed.
func TestHTTPFaults(t *testing.T) {
	for name, kind := range httpKinds(t) {
		t.Run(name, func(t *testing.T) {
			trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
			defer trap.Close()
			s := newServer()
			handler, target := kind(s)
			faults := []http.HandlerFunc{
				status(http.StatusServiceUnavailable), status(http.StatusTooManyRequests, "Retry-After", "1"), status(http.StatusForbidden),
				status(http.StatusInternalServerError), cutOff(t), elsewhere(trap.URL),
			}
			if name != "webhook" { // any 2xx is its yes, whatever it says
				faults = append(faults, garbage, status(http.StatusOK), s.endless)
			}
			s.faults = faults
			web := httptest.NewTLSServer(handler)
			defer web.Close()
			m := newLog(t)
			m.statements(150)
			sink := sinkTo(name, target(HTTP{URL: web.URL, TLS: web.Client().Transport.(*http.Transport).TLSClientConfig}))
			if err := m.ship(sink); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.got, upTo("audit", 0, 300)) {
				t.Errorf("there are %d records: %v", len(s.got), s.got)
			}
			if len(s.faults) > 0 {
				t.Errorf("%d faults were not met", len(s.faults))
			}
			if n := s.poured.Load(); n > 4*answerMost {
				t.Errorf("of an answer without an end, %d bytes were taken", n)
			}
			if said := m.said.String(); strings.Count(said, "level=WARN") != 1 || strings.Contains(said, "\x1b") {
				t.Errorf("it logs\n%s", said)
			}
		})
	}
}

// TestWrongTLS sends nothing to a server that it cannot verify.
func TestWrongTLS(t *testing.T) {
	for name, kind := range httpKinds(t) {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			handler, target := kind(s)
			web := httptest.NewUnstartedServer(handler)
			web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			web.StartTLS()
			defer web.Close()
			events := []Event{{Log: "l", UID: "l-0", Body: []byte("{}")}}
			to := target(HTTP{URL: web.URL})
			left, err := to.Send(t.Context(), events)
			if err == nil || !strings.Contains(err.Error(), "certificate") || len(left) != 1 || s.tries != 0 {
				t.Errorf("Send = %v, %v, after %d requests", left, err, s.tries)
			}
		})
	}
}

// TestPartly has a server that takes some documents, is too busy for others, and
// can never take one. That one is put aside, and nothing is lost.
func TestPartly(t *testing.T) {
	verdict := func(doc string, try int) int {
		switch {
		case doc == "audit 7":
			return http.StatusBadRequest
		case try == 1 && strings.HasSuffix(doc, "3"):
			return http.StatusTooManyRequests
		case try == 2 && doc == "audit 13":
			return http.StatusServiceUnavailable
		}
		return 0
	}
	want := slices.DeleteFunc(upTo("audit", 0, 40), func(s string) bool { return s == "audit 7" })
	for _, dead := range []bool{true, false} {
		t.Run(fmt.Sprintf("dead letters %v", dead), func(t *testing.T) {
			s := newServer()
			web := httptest.NewServer(s.openSearch(t, verdict))
			defer web.Close()
			m := newLog(t)
			m.statements(20)
			sink := sinkTo("os", &OpenSearch{HTTP: HTTP{URL: web.URL, Token: secret("shipper:sesame"), Scheme: "Basic"}, Index: "pgveil"})
			path := t.TempDir() + "/dead"
			if dead {
				sink.DeadLetter = &File{Path: path}
			}
			ctx := t.Context()
			ship := m.start(sink)
			err := ship.Close(ctx)
			st := ship.Stats()[0]
			if !dead {
				if err == nil || !strings.Contains(err.Error(), "document 7: status 400") || st.Stopped == nil || st.LagRecords == 0 {
					t.Errorf("Close = %v, %+v", err, st)
				}
				return
			}
			slices.SortFunc(s.got, func(a, b string) int { return slices.Index(want, a) - slices.Index(want, b) })
			if err != nil || !slices.Equal(s.got, want) || st.Sent != 39 || st.DeadLetters != 1 {
				t.Errorf("Close = %v, %+v, and there is %v", err, st, s.got)
			}
			if got := seqs(t, path); !slices.Equal(got, []string{"audit 7"}) {
				t.Errorf("dead letters: %v", got)
			}
		})
	}
}

// TestAgain sends the same records twice. The documents are the same ones.
func TestAgain(t *testing.T) {
	s := newServer()
	web := httptest.NewServer(s.openSearch(t, func(string, int) int { return 0 }))
	defer web.Close()
	m := newLog(t)
	m.statements(10)
	sink := sinkTo("os", &OpenSearch{HTTP: HTTP{URL: web.URL, Token: secret("shipper:sesame"), Scheme: "Basic"}, Index: "pgveil-{month}"})
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(cursorPath(m.dir, "os")), m.ship(sink)); err != nil {
		t.Fatal(err)
	}
	if len(s.got) != 40 || len(s.docs) != 20 {
		t.Errorf("%d were sent, and there are %d documents", len(s.got), len(s.docs))
	}
}

// TestTooLarge has a server that takes no more than some bytes at a time: batches
// are halved until they fit.
func TestTooLarge(t *testing.T) {
	s := newServer()
	serve := s.webhook(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 1000 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		serve(w, r)
	}))
	defer web.Close()
	m := newLog(t)
	m.statements(40)
	hook := &Webhook{HTTP: HTTP{URL: web.URL, Token: secret("sesame"), Scheme: "Bearer"}, Secret: secret("pepper")}
	if err := m.ship(sinkTo("hook", hook)); err != nil || !slices.Equal(s.got, upTo("audit", 0, 80)) {
		t.Errorf("%v, and there is %v", err, s.got)
	}
}
