// What a Go program does with ADBC. Prints one line a finding: a name, a tab, a value.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/apache/arrow-adbc/go/adbc"
	"github.com/apache/arrow-adbc/go/adbc/driver/flightsql"
	_ "github.com/apache/arrow-adbc/go/adbc/sqldriver/flightsql"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

func say(name string, value any) {
	fmt.Printf("%s\t%s\n", name, strings.ReplaceAll(fmt.Sprint(value), "\n", " "))
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func connect(uri, user, password, roots string) (adbc.Connection, error) {
	db, err := flightsql.NewDriver(memory.DefaultAllocator).NewDatabase(map[string]string{
		adbc.OptionKeyURI:             uri,
		adbc.OptionKeyUsername:        user,
		adbc.OptionKeyPassword:        password,
		flightsql.OptionSSLRootCerts:  roots,
		flightsql.OptionTimeoutUpdate: "30",
	})
	if err != nil {
		return nil, err
	}
	return db.Open(context.Background())
}

// rows are the texts of a result's values, and how many batches they came in.
func rows(reader array.RecordReader) ([][]string, error) {
	defer reader.Release()
	var found [][]string
	for reader.Next() {
		batch := reader.RecordBatch()
		for row := 0; row < int(batch.NumRows()); row++ {
			var values []string
			for column := 0; column < int(batch.NumCols()); column++ {
				values = append(values, batch.Column(column).ValueStr(row))
			}
			found = append(found, values)
		}
	}
	return found, reader.Err()
}

func query(ctx context.Context, connection adbc.Connection, text string) ([][]string, error) {
	statement, err := connection.NewStatement()
	if err != nil {
		return nil, err
	}
	defer statement.Close()
	if err := statement.SetSqlQuery(text); err != nil {
		return nil, err
	}
	reader, _, err := statement.ExecuteQuery(ctx)
	if err != nil {
		return nil, err
	}
	return rows(reader)
}

func main() {
	ctx := context.Background()
	uri, user, password := os.Args[1], os.Args[2], os.Args[3]
	roots := string(must(os.ReadFile(os.Args[4])))
	connection := must(connect(uri, user, password, roots))
	defer connection.Close()

	nations := must(query(ctx, connection, "select n_nationkey, n_name from lake.tpch.nation order by n_nationkey"))
	say("nations", len(nations))
	say("first nation", nations[0])
	for _, row := range must(query(ctx, connection, "select * from lake.types.pyiceberg_all_types order by id")) {
		for column, value := range row {
			say(fmt.Sprintf("value %s %d", row[0], column), value)
		}
	}

	statement := must(connection.NewStatement())
	must(0, statement.SetSqlQuery("select n_name from lake.tpch.nation where n_nationkey = ? order by 1"))
	must(0, statement.Prepare(ctx))
	say("parameters", len(must(statement.GetParameterSchema()).Fields()))
	builder := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "1", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil))
	builder.Field(0).(*array.Int64Builder).AppendValues([]int64{3, 7}, nil)
	must(0, statement.Bind(ctx, builder.NewRecordBatch()))
	reader, _, err := statement.ExecuteQuery(ctx)
	say("bound", must(rows(must(reader, err))))

	must(0, statement.SetSqlQuery("select * from lake.tpch.orders"))
	_, partitions, _, err := statement.ExecutePartitions(ctx)
	must(0, err)
	read := 0
	for _, id := range partitions.PartitionIDs {
		read += len(must(rows(must(connection.ReadPartition(ctx, id)))))
	}
	say("orders", read)

	must(0, statement.SetSqlQuery("set landfast.placement = 'origin'"))
	say("updated", must(statement.ExecuteUpdate(ctx)))
	say("set", must(query(ctx, connection, "show landfast.placement"))[0][1])

	lake, tpch, nation := "lake", "tpch", "nation"
	for name, depth := range map[string]adbc.ObjectDepth{"catalogs": adbc.ObjectDepthCatalogs, "schemas": adbc.ObjectDepthDBSchemas, "tables": adbc.ObjectDepthTables, "columns": adbc.ObjectDepthColumns} {
		objects := must(rows(must(connection.GetObjects(ctx, depth, &lake, nil, nil, nil, nil))))
		say("objects "+name, objects)
	}
	schema := must(connection.GetTableSchema(ctx, &lake, &tpch, nation))
	say("table schema", schema.Field(1).Name+" of "+fmt.Sprint(schema.NumFields()))
	say("table types", must(rows(must(connection.GetTableTypes(ctx)))))
	say("info", must(rows(must(connection.GetInfo(ctx, []adbc.InfoCode{adbc.InfoVendorName})))))

	endless := "select value from generate_series(1, 1000000000000) -- from go"
	must(0, statement.SetSqlQuery(endless))
	stoppable, stop := context.WithCancel(ctx)
	reader, _, err = statement.ExecuteQuery(stoppable)
	must(reader, err)
	say("before it is stopped", reader.Next())
	stop()
	for reader.Next() {
	}
	say("stopped", reader.Err())
	reader.Release()

	late, done := context.WithTimeout(ctx, 300*time.Millisecond)
	_, err = query(late, connection, "select max(value % 7) from generate_series(1, 1000000000000) -- late from go")
	done()
	say("late", err)

	_, err = query(ctx, connection, "select * from lake.tpch.nations")
	say("unknown", err)
	stranger, err := connect(uri, user, "wrong", roots)
	if err == nil {
		_, err = query(ctx, stranger, "select 1")
	}
	say("wrong password", err)

	// The same driver below database/sql.
	pool := must(sql.Open("flightsql", fmt.Sprintf("uri=%s; username=%s; password=%s; %s=%s", uri, user, password, flightsql.OptionSSLRootCerts, roots)))
	defer pool.Close()
	var name string
	prepared := must(pool.PrepareContext(ctx, "select n_name from lake.tpch.nation where n_nationkey = ?"))
	must(0, prepared.QueryRowContext(ctx, int32(7)).Scan(&name))
	say("database/sql", name)
	// Without Prepare the driver forgets to, and binds nothing.
	say("database/sql unprepared", pool.QueryRowContext(ctx, "select n_name from lake.tpch.nation where n_nationkey = ?", 7).Scan(&name))
}
