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
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// server is one that speaks a target's interface as its documentation has it,
// and keeps what it took. The first requests fail, each in its own way.
type server struct {
	mu     sync.Mutex
	faults []http.HandlerFunc
	got    []string // "log seq", as they came
	docs   map[string]string
	acks   map[int64]int // how often to deny, by ackId
	waits  map[int64][]json.RawMessage
	tries  int
	poured atomic.Int64 // bytes of an answer without an end
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

func (s *server) endless(w http.ResponseWriter, r *http.Request) {
	line := bytes.Repeat([]byte("x"), 1<<20)
	for {
		n, err := w.Write(line)
		if s.poured.Add(int64(n)); err != nil {
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
		s.mu.Lock()
		id := int64(len(s.acks))
		s.acks[id], s.waits[id] = 2, events
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
		var indexed []json.RawMessage
		s.mu.Lock()
		for _, id := range asked.Acks {
			s.acks[id]--
			if said[fmt.Sprint(id)] = s.acks[id] == 0; s.acks[id] == 0 { // once: then it is forgotten
				indexed = append(indexed, s.waits[id]...)
			}
		}
		s.mu.Unlock()
		s.keep(t, indexed...)
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

func newServer() *server {
	return &server{docs: map[string]string{}, acks: map[int64]int{}, waits: map[int64][]json.RawMessage{}}
}
