package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"reflect"
	"regexp"
	"sort"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition/tableconvertor"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration"
	"k8s.io/kube-aggregator/pkg/registry/apiservice/etcd"
	"k8s.io/kubernetes/pkg/printers/internalversion"
)

// The columns of a kind's table. A kind without any has those of every object.
type columnsRow struct {
	Group   string
	Kind    string
	Columns []columnRow
}

// Omitted members are empty or zero. What most tables say of names and ages stands in the first row alone: Like names
// the column there that has the same description.
type columnRow struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Format      string `json:"format,omitempty"`
	Description string `json:"description,omitempty"`
	Like        string `json:"like,omitempty"`
	Priority    int32  `json:"priority,omitempty"`
}

// printers takes down which columns each kind's printer brings.
type printers map[string][]meta.TableColumnDefinition

func (p printers) TableHandler(columns []meta.TableColumnDefinition, printer any) error {
	printed := reflect.TypeOf(printer).In(0).Elem()
	p[path.Base(printed.PkgPath())+"."+printed.Name()] = columns
	return nil
}

// Only stable versions are served.
var stable = regexp.MustCompile(`^v[0-9]+$`)

// readColumns finds the printers of the kinds that are stored.
func readColumns(resources []resourceRow) []columnsRow {
	found := printers{}
	internalversion.AddHandlers(found)
	// The aggregator prints by itself.
	table, err := (&etcd.REST{}).ConvertToTable(context.Background(), &apiregistration.APIServiceList{}, nil)
	check(err)
	found["apiregistration.APIService"] = table.ColumnDefinitions
	// As does the server of definitions.
	table, err = tableconvertor.New().ConvertToTable(context.Background(), &apiextensions.CustomResourceDefinitionList{}, nil)
	check(err)
	found["apiextensions.CustomResourceDefinition"] = table.ColumnDefinitions
	var rows []columnsRow
	seen := map[string]bool{}
	for _, resource := range resources {
		key := packageOf(resource.Group) + "." + resource.Kind
		columns, ok := found[key]
		if !ok || !stable.MatchString(resource.Version) || seen[resource.Group+"/"+resource.Kind] || strings.Contains(resource.Plural, "/") {
			continue
		}
		seen[resource.Group+"/"+resource.Kind] = true
		rows = append(rows, rowOf(resource.Group, resource.Kind, columns))
	}
	// Every object has these.
	rows = append(rows, columnsRow{Columns: []columnRow{
		{Name: "Name", Type: "string", Format: "name", Description: documented["name"]},
		{Name: "Created At", Type: "date", Description: documented["creationTimestamp"]},
	}})
	// The kind of a subresource of several.
	rows = append(rows, rowOf("autoscaling", "Scale", found["autoscaling.Scale"]))
	sort.SliceStable(rows, func(a, b int) bool {
		return rows[a].Group+"\x00"+rows[a].Kind < rows[b].Group+"\x00"+rows[b].Kind
	})
	return rows
}

var documented = meta.ObjectMeta{}.SwaggerDoc()

func rowOf(group, kind string, columns []meta.TableColumnDefinition) columnsRow {
	row := columnsRow{Group: group, Kind: kind}
	for _, column := range columns {
		one := columnRow{
			Name: column.Name, Type: column.Type, Format: column.Format, Description: column.Description,
			Priority: column.Priority,
		}
		switch column.Description {
		case documented["name"]:
			one.Description, one.Like = "", "Name"
		case documented["creationTimestamp"]:
			one.Description, one.Like = "", "Created At"
		}
		row.Columns = append(row.Columns, one)
	}
	return row
}

// packageOf is the name of the package that holds a group's types. Events of both groups are those of the core.
func packageOf(group string) string {
	switch group {
	case "", "events.k8s.io":
		return "core"
	}
	first, _, _ := strings.Cut(group, ".")
	return first
}

// writeColumns writes a column a line.
func writeColumns(file string, rows []columnsRow) {
	created, err := os.Create(file)
	check(err)
	out := bufio.NewWriter(created)
	fmt.Fprint(out, "[\n")
	for at, row := range rows {
		fmt.Fprintf(out, "{\"group\":%q,\"kind\":%q,\"columns\":[", row.Group, row.Kind)
		for at, column := range row.Columns {
			text, err := json.Marshal(column)
			check(err)
			fmt.Fprintf(out, "%s\n  %s", separator(at), text)
		}
		fmt.Fprintf(out, "\n]}%s\n", separator(len(rows)-at-1))
	}
	fmt.Fprint(out, "]\n")
	check(out.Flush())
	check(created.Close())
}
