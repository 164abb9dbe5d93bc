import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/** What DBeaver asks through its generic driver when somebody connects, opens the tree and looks at a table's data. */
final class Dbeaver {
  private Dbeaver() {}

  static void run(Connection connection) throws SQLException {
    DatabaseMetaData about = connection.getMetaData();
    // On connecting: what is it, and what can it do?
    Say.tried("dbeaver product", () -> about.getDatabaseProductName() + " " + about.getDriverName().contains("Flight SQL"));
    Say.tried("dbeaver terms", () -> about.getSchemaTerm() + " " + about.getProcedureTerm() + " " + about.getCatalogTerm());
    Say.tried("dbeaver quoting", () -> about.getIdentifierQuoteString() + " " + about.getSearchStringEscape() + about.getCatalogSeparator());
    Say.tried("dbeaver alive", () -> connection.isValid(10) + " " + connection.isClosed());
    Say.tried("dbeaver types", () -> Say.rows(about.getTypeInfo()).size());
    Say.tried("dbeaver catalogs", () -> Say.rows(about.getCatalogs(), "TABLE_CAT"));
    // A catalog is opened: its schemas, by the arguments first and, where that fails, without.
    Say.tried("dbeaver schemas", () -> Say.rows(about.getSchemas("lake", "%"), "TABLE_SCHEM"));
    Say.tried("dbeaver kinds", () -> Say.rows(about.getTableTypes(), "TABLE_TYPE"));
    // A schema is opened, and all columns of all its tables are read at once for completion.
    Say.tried("dbeaver tables", () -> Say.rows(about.getTables("lake", "tpch", "%", null), "TABLE_NAME", "TABLE_TYPE"));
    Say.tried("dbeaver columns", () -> Say.rows(about.getColumns("lake", "tpch", "%", "%"), "TABLE_NAME").size());
    Say.tried("dbeaver table columns", () -> Say.rows(about.getColumns("lake", "tpch", "nation", "%"), "COLUMN_NAME", "TYPE_NAME"));
    Say.tried("dbeaver keys", () -> {
      List<Integer> rows = new ArrayList<>();
      rows.add(Say.rows(about.getPrimaryKeys("lake", "tpch", "nation")).size());
      rows.add(Say.rows(about.getImportedKeys("lake", "tpch", "nation")).size());
      rows.add(Say.rows(about.getExportedKeys("lake", "tpch", "nation")).size());
      rows.add(Say.rows(about.getIndexInfo("lake", "tpch", "nation", false, true)).size());
      rows.add(Say.rows(about.getProcedures("lake", "tpch", null)).size());
      return rows;
    });
    // The data tab: 200 rows of the quoted name, each column by getObject; then the count, and a filter and an order of the user's.
    Say.tried("dbeaver data", () -> data(connection, "SELECT * FROM lake.tpch.nation", 200));
    Say.tried("dbeaver quoted", () -> data(connection, "SELECT * FROM \"lake\".\"tpch\".\"nation\" x ORDER BY x.n_name DESC", 5));
    Say.tried("dbeaver count", () -> data(connection, "SELECT COUNT(*) FROM lake.tpch.orders", 1));
    Say.tried("dbeaver filter", () -> data(connection, "SELECT * FROM lake.tpch.nation x WHERE n_name LIKE 'U%' ORDER BY 2", 200));
    Say.tried("dbeaver subquery", () -> data(connection, "SELECT COUNT(*) FROM (SELECT * FROM lake.tpch.nation) dbvrcnt", 1));
    Say.tried("dbeaver plan", () -> data(connection, "EXPLAIN SELECT * FROM lake.tpch.nation", 200) > 0);
    // A timestamp with a zone, as the grid reads it and as it reads it again when that fails.
    Say.tried("dbeaver zoned", () -> only(connection, "select zoned from lake.types.pyiceberg_all_types where id = 1"));
  }

  private static int data(Connection connection, String sql, int most) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.setMaxRows(most);
      statement.setFetchSize(most);
      int count = 0;
      if (statement.execute(sql)) {
        try (ResultSet rows = statement.getResultSet()) {
          while (rows.next()) {
            for (int column = 1; column <= rows.getMetaData().getColumnCount(); column++) {
              rows.getObject(column);
              rows.wasNull();
            }
            count++;
          }
        }
      }
      statement.getWarnings();
      return count;
    }
  }

  static String only(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(sql)) {
      rows.next();
      try {
        return "by getObject: " + rows.getObject(1);
      } catch (RuntimeException unwritten) {
        return "by getString: " + rows.getString(1);
      }
    }
  }
}
