import com.google.gson.Gson;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Base64;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Tokens without a library for them. */
final class Jwt {
    private Jwt() {}

    static String sign(Map<String, ?> claims, byte[] key) throws GeneralSecurityException {
        Base64.Encoder base64 = Base64.getUrlEncoder().withoutPadding();
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        String text = base64.encodeToString("{\"alg\":\"HS256\",\"typ\":\"pgveil+jwt\"}".getBytes(StandardCharsets.UTF_8))
            + "." + base64.encodeToString(new Gson().toJson(claims).getBytes(StandardCharsets.UTF_8));
        return text + "." + base64.encodeToString(mac.doFinal(text.getBytes(StandardCharsets.UTF_8)));
    }
}
