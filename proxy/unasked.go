package proxy

import (
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// notification passes a NotificationResponse on. Its payload was written by
// whoever notified, a trigger say, who need not keep to the policy: callers with
// restrictions learn that there was one, and of which channel.
func (s *session) notification(frame []byte) (bool, error) {
	s.mu.Lock()
	free := s.free
	s.mu.Unlock()
	if free {
		return true, nil
	}
	b := wire.BodyOf(frame)
	pid, channel := b.Bytes(4), b.String()
	if b.Err() != nil {
		return false, newFatal("08P01", "the server: %w", b.Err())
	}
	s.toC.Frame('A', pid, channel, []byte{0, 0})
	return false, nil
}

// unasked handles what the server says of its own accord.
func (s *session) unasked(typ byte) (bool, error) {
	switch typ {
	case 'E': // it ends the session
		s.mu.Lock()
		s.parting = true
		s.mu.Unlock()
		return true, nil
	case 'N': // of something outside any statement
		return true, nil
	default:
		return false, newFatal("08P01", "the server sent a message of type %q that nothing asked for", typ)
	}
}

// parameter watches the settings that a restricted caller's protection rests
// on, however they came to change.
func (s *session) parameter(frame []byte) error {
	b := wire.BodyOf(frame)
	name, value := string(b.String()), string(b.String())
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case "standard_conforming_strings":
		s.strings = value
	case "client_encoding":
		s.encoding = value
		s.recodes.Store(value != "UTF8")
	}
	if s.free {
		return nil
	}
	if name == "search_path" {
		s.doubt = true
	}
	if odd := s.readOtherwise(); odd != nil {
		return newFatal(odd.Code, "%s", odd.Message)
	}
	return nil
}

// readOtherwise says why the server reads texts otherwise than they are decided
// here; nil when it does not. mu is held.
func (s *session) readOtherwise() *rewrite.Refusal {
	switch {
	case s.strings != "" && s.strings != "on":
		return &rewrite.Refusal{Code: "42501", Message: "standard_conforming_strings is off, which is not open to callers with restrictions"}
	case s.encoding != "" && !rewrite.SafeEncoding(s.encoding):
		return &rewrite.Refusal{Code: "42501", Message: "client_encoding " + s.encoding + " is not open to callers with restrictions"}
	default:
		return nil
	}
}
