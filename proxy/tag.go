package proxy

import (
	"strconv"
	"strings"
)

// took notes what a completed command changes for the session.
func (s *session) took(f *flight, tag string) {
	if f.privacy == nil {
		f.tag = tag
		f.rows = max(f.rows, tagRows(tag))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copying = false
	f.done++
	s.ddl = s.ddl || changesSchema(tag)
	if f.plan == nil {
		return
	}
	for _, step := range f.plan.Steps {
		s.ddl = s.ddl || changesSchema(step.Command)
	}
}

// tagRows gives the number of rows that a command tag ends in.
func tagRows(tag string) int64 {
	n, err := strconv.ParseInt(tag[strings.LastIndexByte(tag, ' ')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// changesSchema tells whether a command may change what the catalog describes.
func changesSchema(command string) bool {
	word, _, _ := strings.Cut(command, " ")
	switch word {
	case "CREATE", "ALTER", "DROP", "IMPORT", "DO", "CALL":
		return true
	default:
		return false
	}
}
