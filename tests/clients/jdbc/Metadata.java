import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Types;
import java.util.Arrays;
import java.util.Comparator;

/** Everything that java.sql.DatabaseMetaData can be asked. */
final class Metadata {
  private Metadata() {}

  static void run(Connection connection) throws SQLException {
    DatabaseMetaData about = connection.getMetaData();
    withoutArguments(about);
    withArguments(about);
    listings(about);
  }

  private static void withoutArguments(DatabaseMetaData about) {
    Method[] methods = DatabaseMetaData.class.getMethods();
    Arrays.sort(methods, Comparator.comparing(Method::getName));
    for (Method method : methods) {
      if (method.getParameterCount() > 0 || Modifier.isStatic(method.getModifiers())) {
        continue;
      }
      Say.tried("metadata " + method.getName(), () -> {
        try {
          Object found = method.invoke(about);
          return found instanceof ResultSet ? Say.rows((ResultSet) found) : found instanceof Connection ? "a connection" : found;
        } catch (InvocationTargetException thrown) {
          throw thrown.getCause() instanceof Exception ? (Exception) thrown.getCause() : thrown;
        }
      });
    }
  }

  private static void withArguments(DatabaseMetaData about) {
    for (int level : new int[] {0, 1, 2, 4, 8}) {
      Say.tried("isolation " + level, () -> about.supportsTransactionIsolationLevel(level));
    }
    Say.tried("forward only", () -> about.supportsResultSetType(ResultSet.TYPE_FORWARD_ONLY));
    Say.tried("scrolling", () -> about.supportsResultSetType(ResultSet.TYPE_SCROLL_INSENSITIVE));
    Say.tried("read only", () -> about.supportsResultSetConcurrency(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY));
    Say.tried("updatable", () -> about.supportsResultSetConcurrency(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_UPDATABLE));
    Say.tried("convert", () -> about.supportsConvert(Types.INTEGER, Types.VARCHAR));
    Say.tried("own inserts", () -> about.ownInsertsAreVisible(ResultSet.TYPE_FORWARD_ONLY));
    Say.tried("holdability", () -> about.supportsResultSetHoldability(ResultSet.HOLD_CURSORS_OVER_COMMIT));
  }

  private static void listings(DatabaseMetaData about) {
    Say.tried("schemas", () -> Say.rows(about.getSchemas("lake", "ty%"), "TABLE_CATALOG", "TABLE_SCHEM"));
    Say.tried("schemas of nowhere", () -> Say.rows(about.getSchemas("nowhere", null)));
    Say.tried("tables", () -> Say.rows(about.getTables("lake", "types", "java%", null), "TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE"));
    Say.tried("tables labels", () -> Say.labels(about.getTables("lake", "types", "java%", null)));
    Say.tried("tables one character", () -> Say.rows(about.getTables("lake", "types", "spark_type_", null), "TABLE_NAME"));
    Say.tried("tables escaped", () -> Say.rows(about.getTables("lake", "types", "spark" + about.getSearchStringEscape() + "_types", null), "TABLE_NAME"));
    Say.tried("tables of a type", () -> Say.rows(about.getTables("lake", "types", "%", new String[] {"TABLE"}), "TABLE_NAME"));
    Say.tried("tables of no type", () -> Say.rows(about.getTables("lake", "types", "%", new String[] {"GLOBAL TEMPORARY"}), "TABLE_NAME"));
    Say.tried("tables of all catalogs", () -> Say.rows(about.getTables(null, "types", "spark%", null), "TABLE_CAT", "TABLE_NAME"));
    Say.tried("columns", () -> Say.rows(about.getColumns("lake", "types", "pyiceberg_all_types", "%"),
        "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS", "NULLABLE", "IS_NULLABLE", "ORDINAL_POSITION"));
    Say.tried("columns labels", () -> Say.labels(about.getColumns("lake", "types", "java%", "%")));
    Say.tried("columns by pattern", () -> Say.rows(about.getColumns("lake", "types", "%types", "i%"), "TABLE_NAME", "COLUMN_NAME"));
    Say.tried("columns of nothing", () -> Say.rows(about.getColumns("lake", "types", "nothing", "%")));
    Say.tried("primary keys", () -> Say.rows(about.getPrimaryKeys("lake", "types", "pyiceberg_all_types")));
    Say.tried("imported keys", () -> Say.rows(about.getImportedKeys("lake", "types", "pyiceberg_all_types")));
    Say.tried("exported keys", () -> Say.rows(about.getExportedKeys("lake", "types", "pyiceberg_all_types")));
    Say.tried("cross reference", () -> Say.rows(about.getCrossReference("lake", "types", "spark_types", "lake", "types", "spark_nested")));
    Say.tried("index info", () -> Say.rows(about.getIndexInfo("lake", "types", "spark_types", false, true)));
    Say.tried("best row", () -> Say.rows(about.getBestRowIdentifier("lake", "types", "spark_types", DatabaseMetaData.bestRowSession, true)));
    Say.tried("version columns", () -> Say.rows(about.getVersionColumns("lake", "types", "spark_types")));
    Say.tried("table privileges", () -> Say.rows(about.getTablePrivileges("lake", "types", "%")));
    Say.tried("column privileges", () -> Say.rows(about.getColumnPrivileges("lake", "types", "spark_types", "%")));
    Say.tried("procedures", () -> Say.rows(about.getProcedures("lake", "types", "%")));
    Say.tried("procedure columns", () -> Say.rows(about.getProcedureColumns("lake", "types", "%", "%")));
    Say.tried("functions", () -> Say.rows(about.getFunctions("lake", "types", "%")));
    Say.tried("function columns", () -> Say.rows(about.getFunctionColumns("lake", "types", "%", "%")));
    Say.tried("pseudo columns", () -> Say.rows(about.getPseudoColumns("lake", "types", "%", "%")));
    Say.tried("user types", () -> Say.rows(about.getUDTs("lake", "types", "%", null)));
    Say.tried("super types", () -> Say.rows(about.getSuperTypes("lake", "types", "%")));
    Say.tried("super tables", () -> Say.rows(about.getSuperTables("lake", "types", "%")));
    Say.tried("attributes", () -> Say.rows(about.getAttributes("lake", "types", "%", "%")));
  }
}
