package wirescript

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Script is a parsed script.
type Script struct {
	Path   string
	Blocks []*Block
}

// Block is one run of messages, in sessions of its own.
type Block struct {
	Name  string
	Line  int
	Tags  []string
	steps []step
}

// Has tells whether the block carries a tag.
func (b *Block) Has(tag string) bool { return slices.Contains(b.Tags, tag) }

// step is one directive.
type step struct {
	line int
	verb string
	args []string
	send []pgproto3.FrontendMessage
	n    int // how often to send
}

// Parse reads a script. Nothing in it is passed over but comments and empty
// lines.
func Parse(path, text string) (*Script, error) {
	s := &Script{Path: path}
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		if err := s.add(line, l); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
	}
	for _, b := range s.Blocks {
		if len(b.steps) == 0 {
			return nil, fmt.Errorf("%s:%d: block %q is empty", path, b.Line, b.Name)
		}
	}
	return s, nil
}

func (s *Script) add(line int, text string) error {
	word, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	if word == "block" {
		if rest == "" {
			return fmt.Errorf("block needs to say what it promises")
		}
		s.Blocks = append(s.Blocks, &Block{Name: rest, Line: line})
		return nil
	}
	if len(s.Blocks) == 0 {
		return fmt.Errorf("%q stands before the first block", word)
	}
	b := s.Blocks[len(s.Blocks)-1]
	if 'A' <= word[0] && word[0] <= 'Z' {
		return b.message(word, rest)
	}
	return b.directive(line, word, strings.Fields(rest))
}

func (b *Block) directive(line int, verb string, args []string) error {
	st := step{line: line, verb: verb, args: args, n: 1}
	few, many := 0, 0
	switch verb {
	case "send", "cancel":
		many = 1
	case "until":
		few, many = 1, len(args)
	case "receive":
		few, many = 1, 2
	case "on":
		few, many = 1, 1
	case "end", "drop", "asleep":
	case "tag":
		b.Tags = append(b.Tags, args...)
		return nil
	default:
		return fmt.Errorf("unknown directive %q", verb)
	}
	if len(args) < few || len(args) > many {
		return fmt.Errorf("%s does not take %d arguments", verb, len(args))
	}
	if verb == "until" || verb == "receive" {
		if err := checkTypes(verb, args); err != nil {
			return err
		}
	}
	if verb == "send" && len(args) == 1 {
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not how often to send", args[0])
		}
		st.n = n
	}
	b.steps = append(b.steps, st)
	return nil
}

func checkTypes(verb string, args []string) error {
	if verb == "receive" {
		args = args[:1]
	}
	for _, typ := range args {
		if !slices.Contains(backendTypes, typ) {
			return fmt.Errorf("unknown message %q", typ)
		}
	}
	return nil
}

func (b *Block) message(typ, body string) error {
	if len(b.steps) == 0 || b.steps[len(b.steps)-1].verb != "send" {
		return fmt.Errorf("message %s stands outside of send", typ)
	}
	msg := frontendMessage(typ)
	if msg == nil {
		return fmt.Errorf("unknown message %q", typ)
	}
	if body != "" {
		d := json.NewDecoder(bytes.NewReader([]byte(body)))
		d.DisallowUnknownFields()
		if err := d.Decode(msg); err != nil {
			return fmt.Errorf("%s: %w", typ, err)
		}
		if d.More() {
			return fmt.Errorf("%s: more than one JSON value", typ)
		}
	} else if typ == "Describe" || typ == "Close" {
		return fmt.Errorf("%s needs an ObjectType", typ)
	}
	st := &b.steps[len(b.steps)-1]
	st.send = append(st.send, msg)
	return nil
}

// frontendMessage gives an empty message of the named type; nil when a script
// cannot send it.
func frontendMessage(typ string) pgproto3.FrontendMessage {
	switch typ {
	case "Bind":
		return &pgproto3.Bind{}
	case "Close":
		return &pgproto3.Close{}
	case "CopyData":
		return &pgproto3.CopyData{}
	case "CopyDone":
		return &pgproto3.CopyDone{}
	case "CopyFail":
		return &pgproto3.CopyFail{}
	case "Describe":
		return &pgproto3.Describe{}
	case "Execute":
		return &pgproto3.Execute{}
	case "Flush":
		return &pgproto3.Flush{}
	case "FunctionCall":
		return &pgproto3.FunctionCall{}
	case "Parse":
		return &pgproto3.Parse{}
	case "Query":
		return &pgproto3.Query{}
	case "Sync":
		return &pgproto3.Sync{}
	case "Terminate":
		return &pgproto3.Terminate{}
	default:
		return nil
	}
}

// backendTypes are the messages that a script can wait for.
var backendTypes = []string{
	"BindComplete", "CloseComplete", "CommandComplete", "CopyData", "CopyDone", "CopyInResponse", "CopyOutResponse",
	"DataRow", "EmptyQueryResponse", "ErrorResponse", "FunctionCallResponse", "NoData", "NoticeResponse",
	"NotificationResponse", "ParameterDescription", "ParameterStatus", "ParseComplete", "PortalSuspended",
	"ReadyForQuery", "RowDescription",
}
