package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// One resource of one version, or (with a slash in its plural) a subresource.
type resourceRow struct {
	Group       string   `json:"group"`
	Version     string   `json:"version"`
	Plural      string   `json:"plural"`
	Singular    string   `json:"singular,omitempty"`
	Kind        string   `json:"kind"`
	KindGroup   string   `json:"kindGroup,omitempty"`
	KindVersion string   `json:"kindVersion,omitempty"`
	Namespaced  bool     `json:"namespaced,omitempty"`
	ShortNames  []string `json:"shortNames,omitempty"`
	Categories  []string `json:"categories,omitempty"`
	Verbs       []string `json:"verbs"`
	StorageHash string   `json:"storageHash,omitempty"`
}

func readResources(folder string) []resourceRow {
	legacy, err := filepath.Glob(filepath.Join(folder, "api__*.json"))
	check(err)
	named, err := filepath.Glob(filepath.Join(folder, "apis__*__*.json"))
	check(err)
	var rows []resourceRow
	for _, document := range append(legacy, named...) {
		rows = append(rows, rowsOf(document)...)
	}
	sort.SliceStable(rows, func(a, b int) bool { return order(rows[a]) < order(rows[b]) })
	return rows
}

// writeResources writes a resource a line.
func writeResources(path string, rows []resourceRow) {
	file, err := os.Create(path)
	check(err)
	out := bufio.NewWriter(file)
	fmt.Fprint(out, "[\n")
	for at, row := range rows {
		text, err := json.Marshal(row)
		check(err)
		fmt.Fprintf(out, "%s%s\n", text, separator(len(rows)-at-1))
	}
	fmt.Fprint(out, "]\n")
	check(out.Flush())
	check(file.Close())
}

func rowsOf(document string) []resourceRow {
	text, err := os.ReadFile(document)
	check(err)
	var list meta.APIResourceList
	check(json.Unmarshal(text, &list))
	group, version, found := strings.Cut(list.GroupVersion, "/")
	if !found {
		group, version = "", list.GroupVersion
	}
	var rows []resourceRow
	for _, resource := range list.APIResources {
		rows = append(rows, resourceRow{
			Group: group, Version: version, Plural: resource.Name, Singular: resource.SingularName,
			Kind: resource.Kind, KindGroup: resource.Group, KindVersion: resource.Version,
			Namespaced: resource.Namespaced, ShortNames: resource.ShortNames, Categories: resource.Categories,
			Verbs: resource.Verbs, StorageHash: resource.StorageVersionHash,
		})
	}
	return rows
}

func order(row resourceRow) string {
	return strings.Join([]string{row.Group, row.Version, row.Plural}, "\x00")
}
