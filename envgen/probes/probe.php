<?php
// PHP's curl extension: php probe.php curl version, or php probe.php curl get URL...
if (!extension_loaded("curl"))
	exit(1);
if ($argv[2] === "version")
	echo PHP_VERSION, "\n";
foreach (array_slice($argv, 3) as $url) {
	$handle = curl_init($url);
	curl_setopt_array($handle, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 5]);
	curl_exec($handle);
}
