package ship

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is one that speaks a target's interface as its documentation has it,
// and keeps what it took. The first requests fail, each in its own way.
type server struct {
	mu     sync.Mutex
	faults []http.HandlerFunc
	got    []string // "log seq", as they came
	docs   map[string]string
	acks   map[int64]int // how often to deny, by ackId
	tries  int
}

// take runs the next fault, or else serves.
func (s *server) take(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.tries++
		fault := serve
		if len(s.faults) > 0 {
			fault, s.faults = s.faults[0], s.faults[1:]
		}
		s.mu.Unlock()
		fault(w, r)
	}
}

func (s *server) keep(t *testing.T, events ...json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.got = append(s.got, seqOf(t, e))
	}
}

// Faults of a server. Each leaves it open whether the batch was taken.
func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		http.Error(w, "not now\x1b[31m", code)
	}
}

func cutOff(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"text\":")
		if err := errors.Join(err, conn.Close()); err != nil {
			t.Error(err)
		}
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	line := bytes.Repeat([]byte("x"), 1<<20)
	for {
		if _, err := w.Write(line); err != nil {
			return
		}
	}
}

func garbage(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>it works</html>") }

func elsewhere(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}
}

// webhook takes arrays and checks their signatures.
func (s *server) webhook(t *testing.T) http.HandlerFunc {
	return s.take(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("pepper"))
		fmt.Fprintf(mac, "%s.%s", r.Header.Get("Pgveil-Timestamp"), body)
		if err != nil || r.Header.Get("Pgveil-Signature") != "v1="+hex.EncodeToString(mac.Sum(nil)) || r.Header.Get("Authorization") != "Bearer sesame" {
			t.Errorf("a request with %v, %v", r.Header, err)
		}
		var events []json.RawMessage
		if err := json.Unmarshal(body, &events); err != nil {
			t.Errorf("a body that is no array: %v", err)
		}
		s.keep(t, events...)
		w.WriteHeader(http.StatusAccepted)
	})
}

// splunk is a collector whose token has indexer acknowledgment: an event may be
// searched for once its batch was acknowledged.
func (s *server) splunk(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status, code int, text string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"text":%q,"code":%d}`, text, code)
	}
	good := func(w http.ResponseWriter, r *http.Request, channel string) bool {
		switch {
		case r.Header.Get("Authorization") != "Splunk sesame":
			answer(w, http.StatusForbidden, 4, "Invalid token")
		case channel == "":
			answer(w, http.StatusBadRequest, 10, "Data channel is missing")
		default:
			return true
		}
		return false
	}
	mux.HandleFunc("POST /services/collector/event", s.take(func(w http.ResponseWriter, r *http.Request) {
		if !good(w, r, r.Header.Get("X-Splunk-Request-Channel")) {
			return
		}
		var events []json.RawMessage
		for d := json.NewDecoder(r.Body); ; {
			var e struct {
				Time       float64
				SourceType string
				Index      string
				Event      json.RawMessage
				Fields     map[string]string
			}
			if err := d.Decode(&e); errors.Is(err, io.EOF) {
				break
			} else if err != nil || e.Time == 0 || e.SourceType != "pgveil:access" || e.Index != "audit" || e.Fields["pgveil_uid"] == "" {
				answer(w, http.StatusBadRequest, 6, "Invalid data format")
				t.Errorf("an event %+v, %v", e, err)
				return
			}
			events = append(events, e.Event)
		}
		s.keep(t, events...)
		s.mu.Lock()
		id := int64(len(s.acks))
		s.acks[id] = 2
		s.mu.Unlock()
		fmt.Fprintf(w, `{"text":"Success","code":0,"ackId":%d}`, id)
	}))
	mux.HandleFunc("POST /services/collector/ack", func(w http.ResponseWriter, r *http.Request) {
		if !good(w, r, r.URL.Query().Get("channel")) {
			return
		}
		var asked struct {
			Acks []int64 `json:"acks"`
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		said := map[string]bool{}
		s.mu.Lock()
		for _, id := range asked.Acks {
			s.acks[id]--
			said[fmt.Sprint(id)] = s.acks[id] == 0 // once: then it is forgotten
		}
		s.mu.Unlock()
		if err := json.NewEncoder(w).Encode(map[string]any{"acks": said}); err != nil {
			t.Error(err)
		}
	})
	return mux
}

// openSearch indexes by _id. verdict gives the status of a document, 0 for 201.
func (s *server) openSearch(t *testing.T, verdict func(doc string, try int) int) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /_bulk", s.take(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "shipper" || password != "sesame" {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		if r.Header.Get("Content-Type") != "application/x-ndjson" {
			http.Error(w, "Content-Type", http.StatusNotAcceptable)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		items, bad := []any{}, false
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			var action struct {
				Index struct {
					Index string `json:"_index"`
					ID    string `json:"_id"`
				} `json:"index"`
			}
			if err := json.Unmarshal(lines.Bytes(), &action); err != nil || !lines.Scan() {
				http.Error(w, "malformed action", http.StatusBadRequest)
				return
			}
			doc := seqOf(t, lines.Bytes())
			item := map[string]any{"_index": action.Index.Index, "_id": action.Index.ID, "status": http.StatusCreated}
			switch code := verdict(doc, s.tries); code {
			case 0:
				s.got = append(s.got, doc)
				s.docs[action.Index.Index+"/"+action.Index.ID] = doc
			default:
				bad = true
				item["status"], item["error"] = code, map[string]string{"type": "some_exception", "reason": "because"}
			}
			items = append(items, map[string]any{"index": item})
		}
		if err := json.NewEncoder(w).Encode(map[string]any{"took": 3, "errors": bad, "items": items}); err != nil {
			t.Error(err)
		}
	}))
	return mux
}

func secret(text string) func() (string, error) {
	return func() (string, error) { return text, nil }
}

// httpKinds are the targets that speak HTTP, and servers for them.
func httpKinds(t *testing.T) map[string]func(*server) (http.Handler, func(HTTP) Target) {
	return map[string]func(*server) (http.Handler, func(HTTP) Target){
		"webhook": func(s *server) (http.Handler, func(HTTP) Target) {
			return s.webhook(t), func(h HTTP) Target {
				h.Token, h.Scheme = secret("sesame"), "Bearer"
				return &Webhook{HTTP: h, Secret: secret("pepper")}
			}
		},
		"splunk": func(s *server) (http.Handler, func(HTTP) Target) {
			return s.splunk(t), func(h HTTP) Target {
				h.Token, h.Scheme = secret("sesame"), "Splunk"
				return &Splunk{HTTP: h, Ack: true, Index: "audit", SourceType: "pgveil:access"}
			}
		},
		"opensearch": func(s *server) (http.Handler, func(HTTP) Target) {
			return s.openSearch(t, func(string, int) int { return 0 }), func(h HTTP) Target {
				h.Token, h.Scheme = secret("shipper:sesame"), "Basic"
				return &OpenSearch{HTTP: h, Index: "pgveil-{day}"}
			}
		},
	}
}

func newServer() *server { return &server{docs: map[string]string{}, acks: map[int64]int{}} }

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
				faults = append(faults, garbage, status(http.StatusOK))
			}
			faults = append(faults, endless)
			if name == "webhook" {
				faults = faults[:len(faults)-1]
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
			web.Config.ErrorLog = nil
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

// silent is a server that takes connections and never says a word.
func silent(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var held []net.Conn
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			held = append(held, conn) // and never read from
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range held {
			conn.Close()
		}
	})
	return ln
}

// TestHung has sinks that never answer. They lag, and say so; whoever appends,
// and a sink beside them, notice nothing, and the end comes in time.
func TestHung(t *testing.T) {
	ln := silent(t)
	address := ln.Addr().String()
	for name, target := range map[string]Target{
		"webhook":    &Webhook{HTTP: HTTP{URL: "http://" + address}},
		"splunk":     &Splunk{HTTP: HTTP{URL: "http://" + address}},
		"opensearch": &OpenSearch{HTTP: HTTP{URL: "http://" + address}, Index: "i"},
		"kafka":      &Kafka{Brokers: []string{address}, Topic: "audit"},
		"tls":        &Syslog{Network: "tls", Address: address, MaxSize: 8192},
		"tcp":        &Syslog{Network: "tcp", Address: address, MaxSize: 8192},
	} {
		t.Run(name, func(t *testing.T) {
			m := newLog(t)
			good, path := m.fileSink()
			hung := sinkTo("hung", target)
			hung.Timeout, hung.Batch = 50*time.Millisecond, 10_000
			s := m.start(good, hung)
			long := strings.Repeat("x", 50_000)
			for range 400 { // 20 MB: more than the buffers between hold
				m.append(standing(long))
			}
			until := time.Now().Add(30 * time.Second)
			for st := s.Stats(); st[0].Sent < 400 || st[1].Errors < 3; st = s.Stats() {
				if time.Now().After(until) {
					t.Fatalf("Stats = %+v", st)
				}
				time.Sleep(10 * time.Millisecond)
			}
			s.heads = map[string]head{}
			if st := s.Stats()[1]; st.LagRecords == 0 || st.Lag == 0 || st.Stopped != nil || !st.LastSuccess.IsZero() && name != "tcp" {
				t.Errorf("Stats = %+v", st)
			}
			floor, err := Floor(m.dir)
			if err != nil || floor["main"] >= 400 {
				t.Errorf("Floor = %v, %v", floor, err)
			}
			begin := time.Now()
			ctx, cancel := timeout(t, 300*time.Millisecond)
			defer cancel()
			if err := s.Close(ctx); err == nil || time.Since(begin) > 5*time.Second {
				t.Errorf("Close = %v after %v", err, time.Since(begin))
			}
			if got := seqs(t, path); len(got) != 400 {
				t.Errorf("the sink beside has %d records", len(got))
			}
		})
	}
}
