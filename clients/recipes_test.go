package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// recipe is a link to a client's recipe, and the block of code that follows.
var recipe = regexp.MustCompile("(?s)\\]\\(\\.\\./(clients/[^)]*\\.\\w+)\\).*?\n```\\w+\n(.*?)```")

const longest = 10

// TestRecipesAreWhatRuns compares the code in the manual with what the clients run.
func TestRecipesAreWhatRuns(t *testing.T) {
	text, err := os.ReadFile("../docs/end-users.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, m := range recipe.FindAllStringSubmatch(string(text), -1) {
		path, code := filepath.Join("..", m[1]), m[2]
		shown[filepath.Dir(path)] = true
		if n := strings.Count(code, "\n"); n > longest {
			t.Errorf("%s: the manual shows %d lines, more than %d", path, n, longest)
		}
		runs, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(runs), code) && !strings.Contains(string(runs), within(code)) {
			t.Errorf("%s is not what the manual shows:\n%s", path, code)
		}
	}
	clients, err := find(".", nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range clients {
		if !c.has(endUsers) {
			continue
		}
		n++
		if !shown[filepath.Join("..", "clients", c.dir)] {
			t.Errorf("the manual does not show the recipe of %s", c.name())
		}
	}
	if n == 0 || n != len(shown) {
		t.Errorf("%d clients have end users, the manual shows recipes of %d", n, len(shown))
	}
}

// within gives code as it stands within a class.
func within(code string) string {
	indented := strings.ReplaceAll(code, "\n", "\n    ")
	return "    " + strings.TrimSuffix(indented, "    ")
}
