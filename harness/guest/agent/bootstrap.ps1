$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$line = [Console]::In.ReadLine()
if ($null -eq $line) { exit 1 }
$packed = [IO.MemoryStream]::new([Convert]::FromBase64String($line.Trim()))
$plain = [IO.Compression.GZipStream]::new($packed, [IO.Compression.CompressionMode]::Decompress)
$text = [IO.StreamReader]::new($plain, [Text.Encoding]::UTF8).ReadToEnd()
$hash = [Security.Cryptography.SHA256]::Create().ComputeHash([Text.Encoding]::UTF8.GetBytes($text))
$digest = [BitConverter]::ToString($hash).Replace('-', '').ToLowerInvariant()
$module = New-Module -Name PvHarness -ScriptBlock ([scriptblock]::Create($text))
& $module { Start-PvHarness $args[0] } $digest
