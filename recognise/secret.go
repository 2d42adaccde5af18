package recognise

import "bytes"

// run tells whether from i on there are at least least bytes that ok holds of,
// and gives where they end: most of them, at most.
func run(text []byte, i, least, most int, ok func(byte) bool) (end int, enough bool) {
	end = i
	for end < len(text) && end-i < most && ok(text[end]) {
		end++
	}
	return end, end-i >= least
}

func isWord(c byte) bool { return isAlnum(c) || c == '-' || c == '_' }

func isUpperAlnum(c byte) bool { return isUpper(c) || isDigit(c) }

// has tells whether the text at i begins with prefix.
func has(text []byte, i int, prefix string) bool {
	return len(text)-i >= len(prefix) && string(text[i:i+len(prefix)]) == prefix
}

// keyWithA looks at an A for AWS's and Google's keys.
func (s *Scanner) keyWithA(text []byte, i int) Match {
	if joined(text, i) {
		return Match{}
	}
	if s.set.Has(AWSKey) && (has(text, i, "AKIA") || has(text, i, "ASIA")) {
		if end, enough := run(text, i+4, 16, 16, isUpperAlnum); enough && !goesOn(text, end) {
			return Match{AWSKey, i, end}
		}
	}
	if s.set.Has(GoogleKey) && has(text, i, "AIza") {
		if end, enough := run(text, i+4, 35, 35, isWord); enough && !goesOn(text, end) {
			return Match{GoogleKey, i, end}
		}
	}
	return Match{}
}

// jwt looks at the J of eyJ, with which the base64 of a JSON object begins: two of
// them, and a signature, which may be empty.
func (s *Scanner) jwt(text []byte, from, i int) Match {
	start := i - 2
	if start < from || !has(text, start, "eyJ") || start > 0 && isWord(text[start-1]) {
		return Match{}
	}
	head, enough := run(text, start, 12, len(text), isWord)
	if !enough || !has(text, head, ".eyJ") {
		return Match{}
	}
	body, enough := run(text, head+1, 12, len(text), isWord)
	if !enough || !has(text, body, ".") {
		return Match{}
	}
	end, _ := run(text, body+1, 0, len(text), isWord)
	return Match{JWT, start, end}
}

// keyWithUnderscore looks at an underscore for GitHub's and Stripe's keys.
func (s *Scanner) keyWithUnderscore(text []byte, from, i int) Match {
	if s.set.Has(GitHubToken) {
		if start := i - 3; start >= from && has(text, start, "gh") && in(text[i-1], "pousr") && !joined(text, start) {
			if end, enough := run(text, i+1, 36, 255, isAlnum); enough {
				return Match{GitHubToken, start, end}
			}
		}
		if start := i - 6; start >= from && has(text, start, "github_pat_") && !joined(text, start) {
			if end, enough := run(text, i+5, 60, 255, isWord); enough {
				return Match{GitHubToken, start, end}
			}
		}
	}
	if start := i - 2; s.set.Has(StripeKey) && start >= from && (has(text, start, "sk_") || has(text, start, "rk_")) && (has(text, i, "_live_") || has(text, i, "_test_")) && !joined(text, start) {
		if end, enough := run(text, i+6, 16, 255, isAlnum); enough {
			return Match{StripeKey, start, end}
		}
	}
	return Match{}
}

// keyWithDash looks at a dash for Slack's tokens and for private keys.
func (s *Scanner) keyWithDash(text []byte, from, i int) Match {
	if start := i - 4; s.set.Has(SlackToken) && start >= from && has(text, start, "xox") && in(text[i-1], "abeoprs") && !joined(text, start) {
		if end, enough := run(text, i+1, 20, 255, isWord); enough {
			return Match{SlackToken, start, end}
		}
	}
	if s.set.Has(PrivateKey) && has(text, i, "-----BEGIN ") {
		return privateKey(text, i)
	}
	return Match{}
}

// privateKey finds the end of a PEM private key, or of what there is of it.
func privateKey(text []byte, i int) Match {
	title := i + len("-----BEGIN ")
	size := bytes.Index(text[title:min(len(text), title+64)], []byte("PRIVATE KEY"))
	if size < 0 {
		return Match{}
	}
	for _, c := range text[title : title+size] {
		if !isUpperAlnum(c) && c != ' ' {
			return Match{}
		}
	}
	end := title + size + len("PRIVATE KEY")
	body, _ := run(text, end, 0, len(text), inPEM)
	if at := bytes.Index(text[end:body], []byte("-----END ")); at >= 0 {
		end += at + len("-----END ")
		if size := bytes.Index(text[end:body], []byte("-----")); size >= 0 {
			return Match{PrivateKey, i, end + size + len("-----")}
		}
	}
	for in(text[body-1], "\\ \r\n\t") {
		body--
	}
	return Match{PrivateKey, i, body}
}

// inPEM tells whether a byte may be in a PEM file, with its line ends as they are
// or escaped.
func inPEM(c byte) bool { return isAlnum(c) || in(c, "+/= \r\n\t\\-:,.") }
