import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.Properties;

/** Drives one version of the stock JDBC driver through everything; see the tests for what must come out. */
public final class Drive {
  /** Who asks: a reader sees the queries of nobody else. */
  private static final String WHO = "select distinct principal from landfast.system.queries";

  private Drive() {}

  /**
   * Arguments: a JDBC URL, a user, a password, a PEM file of roots, a token, and queries of values. The variables
   * OIDC_TOKEN and EXPIRED_OIDC_TOKEN have tokens of an issuer, CLIENT_CERTIFICATE and CLIENT_KEY name PEM files, and
   * DOCUMENTED_URLS has URLs that say everything themselves, one a line.
   */
  public static void main(String[] arguments) throws Exception {
    String url = arguments[0];
    Properties user = properties(arguments[3]);
    user.put("user", arguments[1]);
    user.put("password", arguments[2]);
    Properties token = properties(arguments[3]);
    token.put("token", arguments[4]);
    String[] queries = java.util.Arrays.copyOfRange(arguments, 5, arguments.length);

    Connection connection = DriverManager.getConnection(url, user);
    try (Connection watcher = DriverManager.getConnection(url, user)) {
      Say.say("driver", connection.getMetaData().getDriverVersion());
      Metadata.run(connection);
      Values.run(connection, queries);
      Dbeaver.run(connection);
      Statements.run(connection, watcher);
    }
    // What was cancelled the driver leaves in its memory, and says so when it is closed.
    Say.tried("closed", () -> {
      connection.close();
      return "in peace";
    });
    by("token", url, token, "select 42");
    token.put("token", "a wrong one");
    by("wrong token", url, token, "select 42");
    token.put("token", System.getenv("OIDC_TOKEN"));
    by("OIDC token", url, token, WHO);
    token.put("token", System.getenv("EXPIRED_OIDC_TOKEN"));
    by("expired OIDC token", url, token, WHO);
    Properties certificate = properties(arguments[3]);
    by("nothing", url, certificate, WHO);
    certificate.put("clientCertificate", System.getenv("CLIENT_CERTIFICATE"));
    certificate.put("clientKey", System.getenv("CLIENT_KEY"));
    by("certificate", url, certificate, WHO);
    certificate.putAll(user);
    by("certificate and user", url, certificate, WHO);
    by("user again", url, user, "select 42");
    Properties catalog = properties(arguments[3]);
    catalog.putAll(user);
    catalog.put("catalog", "lake");
    String setting = "show landfast.catalog";
    by("catalog", url, catalog, setting);
    by("catalog in the URL", url + (url.contains("?") ? "&" : "?") + "catalog=lake", user, setting);
    by("catalog as a setting", url + (url.contains("?") ? "&" : "?") + "landfast.catalog=lake", user, setting);
    by("no catalog", url, user, setting);
    Properties zoneless = properties(arguments[3]);
    zoneless.putAll(user);
    zoneless.put("landfast.wire_types", "zoneless");
    Say.tried("zoneless", () -> {
      try (Connection another = DriverManager.getConnection(url, zoneless)) {
        return Dbeaver.only(another, "select zoned from lake.types.pyiceberg_all_types where id = 1");
      }
    });
    Say.tried("zoneless prepared", () -> {
      // Older versions leave memory of prepared statements behind, and complain of it when the connection is closed: it stays open.
      Connection another = DriverManager.getConnection(url, zoneless);
      try (PreparedStatement statement = another.prepareStatement("select zoned, naive, word from lake.types.pyiceberg_all_types where id = ?")) {
        statement.setLong(1, 1);
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          boolean same = rows.getMetaData().getColumnType(1) == statement.getMetaData().getColumnType(1);
          return rows.getMetaData().getColumnType(1) + " " + same + " " + rows.getObject(1) + " " + rows.getObject(3);
        }
      }
    });
    user.put("password", "wrong");
    by("wrong password", url, user, "select 42");
    Properties strange = new Properties();
    strange.put("user", arguments[1]);
    strange.put("password", arguments[2]);
    by("unknown certificate", url, strange, "select 42");
    strange.put("disableCertificateVerification", "true");
    by("unchecked certificate", url, strange, "select 42");
    String[] documented = System.getenv("DOCUMENTED_URLS").split("\n");
    for (int at = 0; at < documented.length; at++) {
      by("documented URL " + at, documented[at], new Properties(), "select count(*) from lake.tpch.nation");
    }
    // The driver's threads may live on.
    System.out.flush();
    System.exit(0);
  }

  private static Properties properties(String roots) {
    Properties properties = new Properties();
    properties.put("tlsRootCerts", roots);
    return properties;
  }

  private static void by(String what, String url, Properties properties, String sql) {
    Say.tried("connected by " + what, () -> {
      Connection another = DriverManager.getConnection(url, properties);
      try (Statement statement = another.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
        return Say.rows(rows);
      } finally {
        Say.tried("closed by " + what, () -> {
          another.close();
          return "in peace";
        });
      }
    });
  }
}
