# Windows as a transcript of `pvhck guest probe` has it ($env:PV_TRANSCRIPT): each command answers what it answered
# there. Loaded behind pwsh_mocks.ps1, whose mocks it replaces.

# Questions and answers: a command asked the same way several times gives its answers in that order.
$global:PvReplay = $null

function global:Get-ReplayKey {
    param([string] $Command, $Parameters)
    $words = foreach ($name in @($Parameters.Keys | Where-Object { $_ -ne 'ErrorAction' } | Sort-Object)) {
        '{0}={1}' -f $name, (@($Parameters[$name] | ForEach-Object { [string] $_ }) -join ',')
    }
    # Join-Path writes the separator of the system it runs on
    "$Command $($words -join ' ')".Replace('/', '\').ToLowerInvariant()
}

function global:Read-Replay {
    $global:PvReplay = @{}
    $transcript = ConvertFrom-Json -InputObject ([IO.File]::ReadAllText($env:PV_TRANSCRIPT))
    foreach ($raw in @($transcript.operations | ForEach-Object { $_.raw })) {
        $parameters = @{}
        foreach ($property in $raw.parameters.PSObject.Properties) { $parameters[$property.Name] = $property.Value }
        $key = Get-ReplayKey $raw.command $parameters
        if (-not $global:PvReplay.ContainsKey($key)) { $global:PvReplay[$key] = $raw }
    }
}

function global:Get-Replay {
    param([string] $Command, $Parameters)
    if ($null -eq $global:PvReplay) { Read-Replay }
    $key = Get-ReplayKey $Command $Parameters
    $raw = $global:PvReplay[$key]
    if ($null -eq $raw) { throw "the transcript has no answer to: $key" }
    if ($null -ne $raw.error) {
        $code = [Convert]::ToInt32($raw.error.hresult, 16)
        $exception = [Runtime.InteropServices.COMException]::new($raw.error.message, $code)
        throw [Management.Automation.ErrorRecord]::new($exception, ($raw.error.id -split ',')[0], $raw.error.category, $null)
    }
    [Management.Automation.PSSerializer]::Deserialize($raw.objects)
}

foreach ($name in 'Get-ChildItem', 'Get-CimClass', 'Get-CimInstance', 'Get-ExecutionPolicy', 'Get-Item', 'Get-ItemProperty', 'Get-WinEvent', 'Get-WindowsDriver', 'Test-Path') {
    $global:PvMocks[$name] = [scriptblock]::Create("param(`$bound) Get-Replay '$name' `$bound")
}
$global:PvMocks['New-Object'] = {
    param($bound)
    if ($bound['TypeName'] -notlike '*X509Store') { return Microsoft.PowerShell.Utility\New-Object @bound }
    $store = [pscustomobject] @{ Certificates = @(Get-Replay 'store' @{ Store = $bound['ArgumentList'][0] }) }
    foreach ($method in 'Open', 'Close') { $store | Add-Member -MemberType ScriptMethod -Name $method -Value { } }
    $store
}
$global:PvMocks['Get-WmiObject'] = {
    param($bound)
    $null = Get-Replay 'Get-WmiObject' $bound # its error, if that is what it gave
    $object = [pscustomobject] @{ XenTime = 0 }
    $object | Add-Member -MemberType ScriptMethod -Name AddSession -Value {
        param($id)
        $key = @($global:PvReplay.Keys | Where-Object { $_ -match 'xenstoresession where sessionid=\d+$' })[0]
        @{ SessionId = $key -replace '.*=', '' }
    }
    foreach ($method in 'GetValue', 'GetChildren') {
        $object | Add-Member -MemberType ScriptMethod -Name $method -Value ([scriptblock]::Create("param(`$path) Get-Replay 'session.$method' @{ Path = `$path }"))
    }
    $object | Add-Member -MemberType ScriptMethod -Name SetWatch -Value { param($path) $null = New-Event -SourceIdentifier $global:PvWatch }
    $object | Add-Member -MemberType ScriptMethod -Name EndSession -Value { }
    $object
}
